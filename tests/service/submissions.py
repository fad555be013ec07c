"""Requests put into the queues without HTTP, and a look at what they leave in Redis.

Owns the requests, the limits, and the threads that ask at once. Knows no law.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from redis import Redis
from rq.job import Job, JobStatus

from service.admission import Limits
from service.job_queue import new_job_id
from tests.blocking_queue import Blocking
from worker.contract import GenerateRequest, Kind, ScoreInput, ScoreRequest, queue_name

RESULT_TTL_S, JOB_TIMEOUT_S = 100, 7
MAX_QUEUED, MAX_HELD_BYTES = 64, 10**6
REQUEST = GenerateRequest(
    model="digits",
    model_digest="d1" * 32,
    class_index=7,
    guidance=2.0,
    n=1,
    seed=5,
    denoise=True,
    attention_temperature=1.0,
)
SCORING = ScoreRequest(model="digits", model_digest="d1" * 32, class_index=7, images=(ScoreInput(sha256="a1" * 32),))
PIXELS = bytes(784)
QUEUE = f"rq:queue:{queue_name(Kind.GENERATE, 'digits')}"
MEMBERS: dict[Any, Callable[[Redis, bytes], Any]] = {
    b"list": lambda redis, key: redis.lrange(key, 0, -1),
    b"set": lambda redis, key: redis.smembers(key),
    b"zset": lambda redis, key: redis.zrange(key, 0, -1),
}

T = TypeVar("T")


def job_queue(redis: Redis) -> Blocking:
    """The queues, with little room."""
    url = f"unix://{redis.connection_pool.connection_kwargs['path']}"
    return Blocking(url, Limits(MAX_QUEUED, MAX_HELD_BYTES, RESULT_TTL_S), JOB_TIMEOUT_S)


def submit(queue: Blocking, key: str | None = None, **change: Any) -> str:
    """Ask for the picture, with a change; the id of the job that answers it."""
    job_id: str = queue.submit(REQUEST.model_copy(update=change), new_job_id(), idempotency_key=key)
    return job_id


def submit_score(queue: Blocking, key: str | None = None, **change: Any) -> str:
    """Ask for the score, with a change; the id of the job that answers it."""
    job_id: str = queue.submit(SCORING.model_copy(update=change), new_job_id(), PIXELS, key)
    return job_id


def fill(queue: Blocking, images: int = MAX_QUEUED) -> list[str]:
    """Jobs of one image each, so many."""
    return [submit(queue, seed=1000 + index) for index in range(images)]


def put(redis: Redis, job: str, status: JobStatus) -> None:
    """Set the state of a job, by its id or its path, as RQ would."""
    Job.fetch(job.removeprefix("/jobs/"), connection=redis, serializer="json").set_status(status)


def at_once(threads: int, work: Callable[[int], T]) -> list[T]:
    """What `work` returns to each of some threads that begin together."""
    barrier = threading.Barrier(threads)

    def begin(index: int) -> T:
        barrier.wait()
        return work(index)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def lasting(redis: Redis) -> set[str]:
    """The names of all that never expires."""
    return {key.decode() for key in redis.scan_iter() if redis.ttl(key) == -1}


def where(redis: Redis, job_id: str) -> set[str]:
    """The names of the lists, sets and registries that a job is in."""
    found = set()
    for key in redis.scan_iter():
        members = MEMBERS.get(redis.type(key), lambda *_: ())(redis, key)
        # A registry of executions holds `job:execution`.
        if any(member.startswith(job_id.encode()) for member in members):
            found.add(key.decode())
    return found
