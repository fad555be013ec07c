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

from worker.contract import COST, LEASE_S, MAX_RETRIES, PROGRESS_FIELD, JobState, job_key
from worker.made import Tell, tell_nothing
from worker.news import tell_state
from worker.served_job import ServedJob
from worker.watch import Watch

# Takes jobs from the front of the queue while they fit beside those that were taken before; answers what is left of
# the batch, and the jobs.
DRAIN = (
    COST
    + """
local left, answer = tonumber(ARGV[1]), {0}
for before = 3, #ARGV do left = left - cost(ARGV[2] .. ARGV[before]) end
while left > 0 do
  local id = redis.call('LINDEX', KEYS[1], 0)
  if not id or cost(ARGV[2] .. id) > left then break end
  redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  answer[#answer + 1] = id
  left = left - cost(ARGV[2] .. id)
end
answer[1] = left
return answer
"""
)
# Takes jobs that fit into a batch, from before, between and behind those that do not, while they fit beside those that
# were taken before. None over which a worker died: those run alone.
TAKE_LESSER = (
    COST
    + """
local most, left, answer = tonumber(ARGV[1]), tonumber(ARGV[1]), {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local size, retries = cost(ARGV[2] .. id), tonumber(redis.call('HGET', ARGV[2] .. id, 'retries_left') or ARGV[3])
  if size <= most and retries >= tonumber(ARGV[3]) then
    if size > left then break end
    redis.call('LREM', KEYS[1], 1, id)
    redis.call('RPUSH', KEYS[2], id)
    answer[#answer + 1] = id
    left = left - size
  end
end
return answer
"""
)
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
        max_cost: Of a batch, in images or in forward passes of scorings; a single job may cost more.
        window_s: How long a batch that is not full waits for more jobs; 0 = takes what is there.
    """

    queue: Queue
    max_cost: int
    window_s: float

    @property
    def connection(self) -> Redis:
        """The queue's Redis."""
        return self.queue.connection

    def pop(self, wait: bool, tell_idle: Tell = tell_nothing) -> list[str]:
        """Ids of jobs moved to the intermediate list, the first of them waited for up to a second; perhaps none."""
        source, target = self.queue.key, self.queue.intermediate_queue_key
        with self.connection.pipeline(transaction=False) as pipeline:
            tell_idle(pipeline)
            if wait:
                pipeline.blmove(source, target, LONGEST_BLOCK_S)
            else:
                pipeline.lmove(source, target)
            pipeline.llen(source)
            *_, first, waiting = pipeline.execute()
        if first is None:
            return []
        if waiting == 0 and self.window_s == 0:
            return [as_text(first)]
        ids, deadline_s = [as_text(first)], time.monotonic() + self.window_s
        while True:
            left, *more = self._drain(ids)
            ids += [as_text(each) for each in more]
            if left <= 0 or time.monotonic() >= deadline_s:
                return ids
            time.sleep(POLL_S)

    def pop_lesser(self) -> list[str]:
        """Ids of jobs that fit into a batch, moved to the intermediate list past those that do not; perhaps none."""
        take = self.connection.register_script(TAKE_LESSER)
        keys = [self.queue.key, self.queue.intermediate_queue_key]
        return [as_text(each) for each in take(keys=keys, args=[self.max_cost, job_key(""), MAX_RETRIES])]

    def lesser(self, worker_name: str) -> Batch:
        """A batch of the jobs of `pop_lesser`, claimed; perhaps empty."""
        ids = self.pop_lesser()
        return self.claim(ids, worker_name) if ids else Batch((), ())

    def claim(self, ids: Sequence[str], worker_name: str, tell_busy: Tell = tell_nothing) -> Batch:
        """Start those of the popped jobs that are still queued and may share a batch, in one transaction.

        The others were cancelled or have expired meanwhile, or go back to the front, in order.
        """
        while True:
            with Watch.on(self.connection) as pipeline:
                try:
                    for each in ids:
                        pipeline.hgetall(job_key(each))
                    found = zip(ids, pipeline.look(*map(job_key, ids)), strict=True)
                    there = [ServedJob.restored(each, fields, self.connection) for each, fields in found if fields]
                    together, apart = _sorted_out(there)
                    tell_busy(pipeline)
                    executions = [self._start(job, worker_name, pipeline) for job in together]
                    self._let_go(ids, apart, pipeline)
                    pipeline.execute()
                    return Batch(tuple(together), tuple(executions))
                except WatchError:
                    continue

    def _start(self, job: ServedJob, worker_name: str, pipeline: Pipeline) -> Execution:
        execution = Execution.create(job, LEASE_S, pipeline=pipeline, worker_name=worker_name)
        job.prepare_for_execution(worker_name, pipeline=pipeline)
        pipeline.hdel(job.key, PROGRESS_FIELD)
        # Longer than it may run, so that it cannot vanish; not for ever, should nobody end it.
        pipeline.expire(job.key, int(job.timeout or 0) + (job.result_ttl or 0))
        tell_state(pipeline, job.id, JobState.RUNNING)
        return execution

    def _let_go(self, ids: Sequence[str], apart: Sequence[ServedJob], pipeline: Pipeline) -> None:
        """Take the popped jobs off the intermediate list, those that stand apart back to the queue."""
        lists = (self.queue.intermediate_queue_key, self.queue.key)
        for job in reversed(apart):
            pipeline.eval(PUT_BACK, len(lists), *lists, job.id)
        for job_id in ids:
            pipeline.lrem(lists[0], 1, job_id)

    def _drain(self, taken: list[str]) -> list[Any]:
        drain = self.connection.register_script(DRAIN)
        keys = [self.queue.key, self.queue.intermediate_queue_key]
        answer: list[Any] = drain(keys=keys, args=[self.max_cost, job_key(""), *taken])
        return answer


def _sorted_out(jobs: list[ServedJob]) -> tuple[list[ServedJob], list[ServedJob]]:
    """The queued jobs that may share a batch, and those that stand apart.

    A job that has cost a worker its life runs alone, so that it takes no neighbours along.
    """
    queued = [job for job in jobs if job.get_status(refresh=False) is JobStatus.QUEUED]
    alone = bool(queued) and queued[0].is_suspect
    together = queued[:1] if alone else [job for job in queued if not job.is_suspect]
    return together, [job for job in queued if job not in together]
