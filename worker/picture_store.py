"""Where pictures lie until they are fetched or expire.

Owns the writing of them, and the account of the bytes that are kept, by which jobs are let in. Knows
nothing of how they are made.
"""

from collections.abc import Mapping

from redis import Redis

from worker.contract import HELD_BYTES_KEY, HELD_KEY, pictures_key

# The job is kept from its commit on, which comes after the pictures, and later still where Redis is away meanwhile.
OUTLIVE_JOB_S = 60

# By the clock of Redis, as admission reads it.
# KEYS: held pictures, their bytes. ARGV: entry, seconds it lasts, bytes, seconds the account is kept.
HOLD = """
local until_s = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2])
if redis.call('ZADD', KEYS[1], until_s, ARGV[1]) == 1 then redis.call('INCRBY', KEYS[2], ARGV[3]) end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
"""


def store_pictures(connection: Redis, pictures: Mapping[str, Mapping[str, bytes]], ttl_s: int) -> None:
    """Keep the PNGs of jobs, by their ids, whose results will be kept for `ttl_s`, and a little longer."""
    kept_s = ttl_s + OUTLIVE_JOB_S
    with connection.pipeline() as pipeline:
        for job_id, files in pictures.items():
            size = sum(len(content) for content in files.values())
            pipeline.hset(pictures_key(job_id), mapping=dict(files.items()))
            pipeline.expire(pictures_key(job_id), kept_s)
            account = (f"{job_id}:{size}", str(kept_s), str(size), str(2 * kept_s))
            # The text itself: a script that a pipeline only names costs a round trip to look whether it is known.
            pipeline.eval(HOLD, 2, HELD_KEY, HELD_BYTES_KEY, *account)
        pipeline.execute()
