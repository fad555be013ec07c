"""A batch of jobs taken off a queue: popped, looked at, and claimed.

Owns the passage of a job from queued to started, in which it is always in a list or a registry that
somebody looks after. Knows nothing of what jobs do.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis, WatchError
from redis.client import Pipeline
from rq import Queue
from rq.executions import Execution
from rq.job import JobStatus
from rq.utils import as_text

from worker.contract import IMAGES_FIELD, LEASE_S, MAX_RETRIES, PROGRESS_FIELD, JobState, job_key
from worker.news import tell_state
from worker.served_job import ServedJob

# Takes jobs from the front of the queue while their images fit beside those of the jobs that were taken before;
# answers what is left of the batch, and the jobs.
DRAIN = """
local function images(id) return tonumber(redis.call('HGET', ARGV[2] .. id, ARGV[3]) or 1) end
local left, answer = tonumber(ARGV[1]), {0}
for before = 4, #ARGV do left = left - images(ARGV[before]) end
while left > 0 do
  local id = redis.call('LINDEX', KEYS[1], 0)
  if not id or images(id) > left then break end
  redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  answer[#answer + 1] = id
  left = left - images(id)
end
answer[1] = left
return answer
"""
# Returns a popped job to the front, once.
PUT_BACK = "if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('LPUSH', KEYS[2], ARGV[1]) end"
POLL_S = 0.001
LONGEST_BLOCK_S = 1


@dataclass(frozen=True)
class Batch:
    """Jobs that run together, each with its execution."""

    jobs: tuple[ServedJob, ...]
    executions: tuple[Execution, ...]


@dataclass(frozen=True)
class Intake:
    """The front of one queue.

    Attributes:
        queue: The queue.
        max_images: Of a batch; a single job may have more.
        window_s: How long a batch that is not full waits for more jobs; 0 = takes what is there.
    """

    queue: Queue
    max_images: int
    window_s: float

    @property
    def connection(self) -> Redis:
        """The queue's Redis."""
        return self.queue.connection

    def pop(self, wait: bool) -> list[ServedJob]:
        """Jobs moved to the intermediate list, the first of them waited for up to a second; empty if there is none."""
        source, target = self.queue.key, self.queue.intermediate_queue_key
        if wait:
            first = self.connection.blmove(source, target, LONGEST_BLOCK_S)
        else:
            first = self.connection.lmove(source, target)
        if first is None:
            return []
        ids, deadline_s = [as_text(first)], time.monotonic() + self.window_s
        while True:
            left, *more = self._drain(ids)
            ids += [as_text(each) for each in more]
            if left <= 0 or time.monotonic() >= deadline_s:
                return self._together(ids)
            time.sleep(POLL_S)

    def claim(self, jobs: Sequence[ServedJob], worker_name: str) -> Batch:
        """Start those of the popped jobs that are still queued; the others were cancelled meanwhile."""
        while True:
            with self.connection.pipeline() as pipeline:
                try:
                    return self._claim(pipeline, jobs, worker_name)
                except WatchError:
                    continue

    def _claim(self, pipeline: Pipeline, jobs: Sequence[ServedJob], worker_name: str) -> Batch:
        pipeline.watch(*(job.key for job in jobs))
        with self.connection.pipeline(transaction=False) as reads:
            for job in jobs:
                reads.hget(job.key, "status")
            statuses = reads.execute()
        queued = [job for job, status in zip(jobs, statuses, strict=True) if status == JobStatus.QUEUED.encode()]
        pipeline.multi()
        executions = []
        for job in jobs:
            pipeline.lrem(self.queue.intermediate_queue_key, 1, job.id)
        for job in queued:
            executions.append(Execution.create(job, LEASE_S, pipeline=pipeline, worker_name=worker_name))
            job.prepare_for_execution(worker_name, pipeline=pipeline)
            pipeline.hdel(job.key, PROGRESS_FIELD)
            # Longer than it may run, so that it cannot vanish; not for ever, should nobody end it.
            pipeline.expire(job.key, int(job.timeout or 0) + (job.result_ttl or 0))
            tell_state(pipeline, job.id, JobState.RUNNING)
        pipeline.execute()
        return Batch(tuple(queued), tuple(executions))

    def _together(self, ids: list[str]) -> list[ServedJob]:
        """The popped jobs that may share a batch; the others go back to the front, in order.

        A job that has cost a worker its life runs alone, so that it takes no neighbours along.
        """
        found = ServedJob.fetch_many(ids, connection=self.connection, serializer="json")
        for job_id, job in zip(ids, found, strict=True):
            if job is None:  # It has expired.
                self.connection.lrem(self.queue.intermediate_queue_key, 1, job_id)
        jobs = [job for job in found if isinstance(job, ServedJob)]
        alone = bool(jobs) and _is_suspect(jobs[0])
        together = jobs[:1] if alone else [job for job in jobs if not _is_suspect(job)]
        self._put_back([job for job in jobs if job not in together])
        return together

    def _put_back(self, jobs: list[ServedJob]) -> None:
        put_back = self.connection.register_script(PUT_BACK)
        for job in reversed(jobs):
            put_back(keys=[self.queue.intermediate_queue_key, self.queue.key], args=[job.id])

    def _drain(self, taken: list[str]) -> list[Any]:
        drain = self.connection.register_script(DRAIN)
        keys = [self.queue.key, self.queue.intermediate_queue_key]
        answer: list[Any] = drain(keys=keys, args=[self.max_images, job_key(""), IMAGES_FIELD, *taken])
        return answer


def _is_suspect(job: ServedJob) -> bool:
    """Whether a worker died over this job."""
    return job.retries_left is not None and job.retries_left < MAX_RETRIES
