"""A worker's sign of life in Redis, and the facts of its model.

Owns the heartbeat thread and its keys, by Redis's clock. Knows nothing of jobs.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from worker.contract import PRESENCE_TTL_S, Kind, ModelFacts, calibrations_key, device_key, facts_key, workers_key
from worker.outage import leave

BEAT_S = 3.0
FACTS_TTL_S = 24 * 3600
# By the clock of Redis: a worker whose own is wrong would be taken for dead, or drop the others.
# KEYS: live workers. ARGV: name, seconds that a sign of life lasts.
LIVE = """
local now_s = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now_s, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_s - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""

log = logging.getLogger(__name__)


@contextmanager
def presence(
    connection: Redis,
    worker_name: str,
    kind: Kind,
    facts: ModelFacts,
    device: str,
    answered: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Announce a worker until the block ends; Redis may come and go meanwhile: `answered` is called when it answers."""
    ended = threading.Event()

    def beat() -> None:
        while True:
            try:
                announce(connection, worker_name, kind, facts, device)
                answered()
            except RedisError as error:
                log.warning("sign of life not written, trying again: %s", error)
                leave(connection)
            if ended.wait(BEAT_S):
                return

    thread = threading.Thread(target=beat, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(BEAT_S)
        try:
            connection.zrem(workers_key(kind, facts.name), worker_name)
            connection.delete(device_key(worker_name))
        except RedisError as error:
            log.warning("sign of life not withdrawn, it ends in %d s: %s", PRESENCE_TTL_S, error)


def announce(connection: Redis, worker_name: str, kind: Kind, facts: ModelFacts, device: str) -> None:
    """Write one sign of life, and drop those of workers long silent."""
    with connection.pipeline() as pipeline:
        pipeline.eval(LIVE, 1, workers_key(kind, facts.name), worker_name, PRESENCE_TTL_S)
        pipeline.set(facts_key(facts.name), facts.model_dump_json(), ex=FACTS_TTL_S)
        if kind is Kind.SCORE:  # The others load no calibrations: what they say of them counts for nothing.
            told = facts.told_calibrations.model_dump_json()
            pipeline.set(calibrations_key(facts.name), told, ex=FACTS_TTL_S)
        pipeline.set(device_key(worker_name), device, ex=PRESENCE_TTL_S)
        pipeline.execute()
