"""How the service talks to Redis.

Owns time-outs, retries and the translation of a Redis that is away. Knows nothing of jobs.
"""

import logging
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
# Prometheus waits, too, and is to be told that Redis is away.
SCRAPE_TIMEOUT_S = 1.0
# Longer than a burst of new connections takes.
CONNECT_TIMEOUT_S = 5.0
MOST_CONNECTIONS = 64
# Whoever finds every connection in use waits for a turn: hundreds may come at once.
TURN_TIMEOUT_S = 15.0
RETRY_AFTER_S = 5

log = logging.getLogger(__name__)


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
            socket_timeout=SCRAPE_TIMEOUT_S,
            socket_connect_timeout=SCRAPE_TIMEOUT_S,
            max_connections=MOST_CONNECTIONS,
            retry=Retry(NoBackoff(), retries=0),
            health_check_interval=10,
        )
        pool = aioredis.BlockingConnectionPool.from_url(
            url,
            timeout=TURN_TIMEOUT_S,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            max_connections=MOST_CONNECTIONS,
            retry=AsyncRetry(NoBackoff(), retries=1),
        )
        return cls(blocking, aioredis.Redis.from_pool(pool))


@contextmanager
def redis_needed() -> Iterator[None]:
    """Turn a Redis that does not answer, or refuses, into `RedisAway`."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        log.warning("Redis is away: %s", error)
        raise RedisAway("the queue cannot be reached; try again", retry_after_s=RETRY_AFTER_S) from error
    except RedisError as error:
        log.warning("Redis refuses: %s", error)
        raise RedisAway("the queue refuses work; try again", retry_after_s=RETRY_AFTER_S) from error
