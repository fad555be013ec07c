"""How the service talks to Redis.

Owns time-outs, retries and the translation of a Redis that is away. Knows nothing of jobs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from redis import Redis
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from service.errors import RedisAway

# A client waits for us while we wait for Redis: fail soon and say so.
SOCKET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 2.0
MOST_CONNECTIONS = 64
# Commands of one loop on their way to Redis; clients that wait for a job have none.
MOST_AT_ONCE = 1024
RETRY_AFTER_S = 5


@dataclass(frozen=True)
class RedisClients:
    """The client of the event loop, and the blocking one, for what Prometheus asks in a thread."""

    blocking: Redis
    loop: aioredis.Redis

    @classmethod
    def connect(cls, url: str) -> Self:
        """Clients for `url`; nothing is sent yet."""
        blocking = Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            max_connections=MOST_CONNECTIONS,
            retry=Retry(NoBackoff(), retries=1),
        )
        loop = aioredis.Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            max_connections=MOST_AT_ONCE,
            retry=AsyncRetry(NoBackoff(), retries=1),
        )
        return cls(blocking, loop)


@contextmanager
def redis_needed() -> Iterator[None]:
    """Turn a Redis that does not answer, or refuses, into `RedisAway`."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise RedisAway("the queue cannot be reached; try again", retry_after_s=RETRY_AFTER_S) from error
    except RedisError as error:
        raise RedisAway("the queue refuses work; try again", retry_after_s=RETRY_AFTER_S) from error
