"""Where pictures lie until they are fetched or expire.

Owns the writing of them, and the account of the bytes that are kept, by which jobs are let in. Knows
nothing of how they are made.
"""

import time
from collections.abc import Mapping

from redis import Redis

from worker.contract import HELD_BYTES_KEY, HELD_KEY, pictures_key

# KEYS: held pictures, their bytes. ARGV: entry, when it expires, bytes, seconds the account is kept.
HOLD = """
if redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1]) == 1 then redis.call('INCRBY', KEYS[2], ARGV[3]) end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
"""


def store_pictures(connection: Redis, job_id: str, files: Mapping[str, bytes], ttl_s: int) -> None:
    """Keep the PNGs of a job for a while."""
    size = sum(len(content) for content in files.values())
    hold = connection.register_script(HOLD)
    with connection.pipeline() as pipeline:
        pipeline.hset(pictures_key(job_id), mapping=dict(files.items()))
        pipeline.expire(pictures_key(job_id), ttl_s)
        hold(
            keys=[HELD_KEY, HELD_BYTES_KEY],
            args=[f"{job_id}:{size}", int(time.time()) + ttl_s, size, 2 * ttl_s],
            client=pipeline,
        )
        pipeline.execute()
