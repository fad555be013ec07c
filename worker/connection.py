"""How a worker talks to Redis.

Owns time-outs and retries. Knows nothing of what is said.
"""

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

# Longer than RQ's longest blocking read, which is a little under seven minutes.
SOCKET_TIMEOUT_S = 450


def connect(url: str) -> Redis:
    """A connection that waits for a Redis that is briefly away."""
    return Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=5,
        retry=Retry(ExponentialBackoff(cap=2, base=0.1), retries=5),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        health_check_interval=30,
    )
