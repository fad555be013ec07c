"""Where what jobs made lies until it is fetched or expires.

Owns the writing of their files, and the account of the bytes that jobs keep, by which more are let in. Knows
nothing of how they are made.
"""

import json

from redis.client import Pipeline

from worker.contract import HELD_BYTES_KEY, HELD_KEY, pictures_key
from worker.made import Made

# Who finds a job at its last moment is to find its pictures, too.
OUTLIVE_JOB_S = 60
# What RQ and we keep of any job beside its result: its hash, its events, its places in registries.
JOB_BYTES = 8192
# Of a result's JSON: RQ keeps it in base64.
RESULT_FACTOR = 2

# By the clock of Redis, as admission reads it.
# KEYS: held pictures, their bytes. ARGV: entry, seconds it lasts, bytes, seconds the account is kept.
HOLD = """
local until_s = tonumber(redis.call('TIME')[1]) + tonumber(ARGV[2])
if redis.call('ZADD', KEYS[1], until_s, ARGV[1]) == 1 then redis.call('INCRBY', KEYS[2], ARGV[3]) end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
"""


def keep(pipeline: Pipeline, job_id: str, made: Made, ttl_s: int) -> None:
    """Keep what a job made, whose result will be kept for `ttl_s`, a little longer; in the pipeline's transaction."""
    key, kept_s = pictures_key(job_id), ttl_s + OUTLIVE_JOB_S
    if made.files:
        # A transaction cannot be taken back: nothing that lies there may be in the way.
        pipeline.delete(key)
        pipeline.hset(key, mapping=dict(made.files.items()))
        pipeline.expire(key, kept_s)
    files_bytes = sum(len(content) for content in made.files.values())
    kept_bytes = files_bytes + RESULT_FACTOR * len(json.dumps(made.result)) + JOB_BYTES
    account = (f"{job_id}:{kept_bytes}", str(kept_s), str(kept_bytes), str(2 * kept_s))
    # The text itself: a script that a pipeline only names costs a round trip to look whether it is known.
    pipeline.eval(HOLD, 2, HELD_KEY, HELD_BYTES_KEY, *account)
