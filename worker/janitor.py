"""Jobs that a dead worker held, brought back.

Owns the finding of leases that ran out and of jobs that were popped but never started, all by Redis's
clock. Knows nothing of what jobs do.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Any

from redis import Redis, WatchError
from redis.exceptions import LockError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import JobStatus
from rq.utils import as_text

from worker.attendant import Attendant
from worker.contract import CANCEL_FIELD, LEASE_S, Failure, FailureReason, JobState, job_key
from worker.leases import RENEWAL_S
from worker.news import tell_state
from worker.served_job import ServedJob, as_served

# Between being popped and being claimed a job needs milliseconds.
POPPED_GRACE_S = 10.0
LOCK_S = 30
SEEN_TTL_S = 3600
# Everybody looks as often as leases are renewed: where nobody did for so long, nobody could.
SILENCE_S = 2 * RENEWAL_S
LOOKED_TTL_S = 24 * 3600

# Puts a popped job back to the front, unless somebody has started or ended it.
RESCUE = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
if redis.call('HGET', KEYS[3], 'status') ~= 'queued' then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""


@dataclass(frozen=True)
class Janitor:
    """Looks after one queue; any number of them may, one at a time."""

    connection: Redis
    queue: Queue
    attendant: Attendant = field(default_factory=Attendant)

    def tidy(self) -> None:
        """Queue again what dead workers held; a job without attempts left fails, with the news of it."""
        lock = self.connection.lock(f"tarflow:janitor:{self.queue.name}", timeout=LOCK_S, blocking=False)
        if not lock.acquire():
            return
        try:
            seconds, microseconds = self.connection.time()
            now_s = seconds + microseconds / 1e6
            self._make_up_for_silence(now_s)
            self._reclaim_expired(now_s)
            self._rescue_popped(now_s)
        finally:
            with contextlib.suppress(LockError):  # It took too long, and the lock is another's.
                lock.release()

    def _make_up_for_silence(self, now_s: float) -> None:
        """Renew the leases that held at the last look, if that was long ago: their owners may come back as we do.

        One that does not keeps its job from the others for as long again.
        """
        key, registry = f"tarflow:looked:{self.queue.name}", self.queue.started_job_registry.key
        looked_s = float(self.connection.get(key) or now_s)
        if now_s - looked_s > SILENCE_S:
            held: Any = self.connection.zrangebyscore(registry, f"({looked_s}", "+inf")
            if held:
                self.connection.zadd(registry, dict.fromkeys(held, now_s + LEASE_S), xx=True)
        self.connection.set(key, now_s, ex=LOOKED_TTL_S)

    def _reclaim_expired(self, now_s: float) -> None:
        registry = self.queue.started_job_registry.key
        for each in self.connection.zrangebyscore(registry, 0, now_s):
            entry = str(as_text(each))  # type: ignore[arg-type]
            job_id = entry.partition(":")[0]
            with contextlib.suppress(WatchError):  # Its worker was faster; the next round looks again.
                self._reclaim(job_id, registry, entry, now_s)

    def _reclaim(self, job_id: str, registry: str, entry: str, now_s: float) -> None:
        """Take one job from a worker that lost its lease; what that worker commits from now on is refused."""
        with self.connection.pipeline() as pipeline:
            pipeline.watch(job_key(job_id))
            try:
                job = as_served(ServedJob.fetch(job_id, connection=self.connection, serializer="json"))
            except NoSuchJobError:
                job = None
            ends_s = pipeline.zscore(registry, entry)
            if ends_s is None or ends_s > now_s:  # Since it was looked at, it was ended by another, or renewed.
                return
            unwanted = pipeline.hexists(job_key(job_id), CANCEL_FIELD)
            pipeline.multi()
            pipeline.zrem(registry, entry)
            pipeline.delete(f"rq:execution:{entry}")
            if job is not None and job.get_status(refresh=False) is JobStatus.STARTED:
                if unwanted:
                    job.be_cancelled(pipeline)
                elif job.should_retry:
                    job.retry(self.queue, pipeline)
                    tell_state(pipeline, job_id, JobState.QUEUED)
                else:
                    job.fail(Failure(reason=FailureReason.ABANDONED), "its workers died", pipeline)
            pipeline.execute()
        if job is not None and job.end is not None:
            self.attendant.ended(job, batch_size=0)

    def _rescue_popped(self, now_s: float) -> None:
        popped = self.connection.lrange(self.queue.intermediate_queue_key, 0, -1)
        seen_key = f"tarflow:popped:{self.queue.name}"
        if not popped:
            self.connection.delete(seen_key)
            return
        seen = self.connection.hgetall(seen_key)
        rescue = self.connection.register_script(RESCUE)
        with self.connection.pipeline() as pipeline:
            pipeline.delete(seen_key)
            for job_id in popped:
                first_seen_s = float(seen.get(job_id, now_s))
                if now_s - first_seen_s > POPPED_GRACE_S:
                    keys = [self.queue.intermediate_queue_key, self.queue.key, job_key(as_text(job_id))]
                    rescue(keys=keys, args=[job_id])
                else:
                    pipeline.hset(seen_key, job_id, first_seen_s)
            pipeline.expire(seen_key, SEEN_TTL_S)
            pipeline.execute()
