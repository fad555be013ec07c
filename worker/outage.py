"""What ails a Redis and passes by itself: nothing is lost meanwhile, so whoever can waits.

Owns which errors those are, and the leaving of a server that may not be the one any more. Knows nothing of who waits.
"""

import re

from redis import Redis
from redis.exceptions import ClusterDownError, OutOfMemoryError, ReadOnlyError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

PASSING = (
    RedisConnectionError,  # away, or loading
    RedisTimeoutError,
    OutOfMemoryError,
    ReadOnlyError,  # demoted: another takes its place, or it becomes itself again
    ClusterDownError,  # or without its master
    TryAgainError,
)
# Those that redis-py has no class for: its first word, or after a dash where a script met it; Redis before 7 says
# even the others so, of scripts. What a pipeline puts before it quotes the command, and may say anything.
QUOTED = "of pipeline caused error: "
REFUSAL = re.compile(r"(^|[: ]-)(BUSY|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|UNBLOCKED) ")


def passes(error: BaseException) -> bool:
    """Whether an error is of a Redis that is away or refuses for now."""
    if isinstance(error, PASSING):
        return True
    return isinstance(error, RedisError) and REFUSAL.search(str(error).rpartition(QUOTED)[2]) is not None


def leave(connection: Redis) -> None:
    """Close what is open and not in use: the address may be another server's by now."""
    connection.connection_pool.disconnect(inuse_connections=False)
