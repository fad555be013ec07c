"""Where pictures lie until they are fetched or expire.

Owns the writing of them, and the account of the bytes that jobs keep, by which more are let in. Knows
nothing of how they are made.
"""

import json
from collections.abc import Mapping
from typing import Any

from redis import Redis
from redis.client import Pipeline

from worker.contract import HELD_BYTES_KEY, HELD_KEY, pictures_key

# The job is kept from its commit on, which comes after the pictures, and later still where Redis is away meanwhile.
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


def store_pictures(connection: Redis, pictures: Mapping[str, Mapping[str, bytes]], ttl_s: int) -> None:
    """Keep the files of jobs, by their ids, whose results will be kept for `ttl_s`, and a little longer."""
    with connection.pipeline() as pipeline:
        for job_id, files in pictures.items():
            if files:
                pipeline.hset(pictures_key(job_id), mapping=dict(files.items()))
                pipeline.expire(pictures_key(job_id), ttl_s + OUTLIVE_JOB_S)
            _hold(pipeline, job_id, sum(len(content) for content in files.values()), ttl_s)
        pipeline.execute()


def count_results(connection: Redis, results: Mapping[str, Mapping[str, Any]], ttl_s: int) -> None:
    """Put the results of jobs, by their ids, which have nothing beside them, on the account."""
    with connection.pipeline() as pipeline:
        for job_id, result in results.items():
            _hold(pipeline, job_id, RESULT_FACTOR * len(json.dumps(result)), ttl_s)
        pipeline.execute()


def _hold(pipeline: Pipeline, job_id: str, size: int, ttl_s: int) -> None:
    kept_s, kept = ttl_s + OUTLIVE_JOB_S, size + JOB_BYTES
    account = (f"{job_id}:{kept}", str(kept_s), str(kept), str(2 * kept_s))
    # The text itself: a script that a pipeline only names costs a round trip to look whether it is known.
    pipeline.eval(HOLD, 2, HELD_KEY, HELD_BYTES_KEY, *account)
