"""The queue's consumer: one process, one queue, one batch after the other.

Owns how a worker process starts, runs and stops, and the commit of what a batch made. Knows nothing
of models. About half of what it overrides is private to RQ, which is therefore pinned; its tests are
the gate for an upgrade.
"""

import logging
import os
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from redis import Redis, WatchError
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from rq.utils import now
from rq.worker import WorkerStatus
from rq.worker_registration import clean_worker_registry

from worker.attendant import Attendant
from worker.contract import LEASE_S, Kind, queue_name, worker_name
from worker.errors import JobCancelled
from worker.intake import Batch, Intake
from worker.janitor import Janitor
from worker.leases import Leases
from worker.made import Outcome
from worker.outage import leave, passes
from worker.picture_store import keep
from worker.served_job import DEFAULT_RESULT_TTL_S, ServedJob, failure_of
from worker.standing import End, Standing, look_at
from worker.watch import Watch

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
# How often `rq suspend` is looked for at most: a batch may take less than the look.
SUSPENSION_S = 1.0

log = logging.getLogger(__name__)


class BatchHandler(Protocol):
    """The work: jobs in, for each of them what it made or what went wrong with it alone."""

    def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None], /) -> Sequence[Outcome]:
        """Do them all in one batch; what it raises is everybody's. Between steps, `meanwhile` may do lesser jobs."""
        ...


class BatchWorker(SimpleWorker):
    """Runs batches of jobs in this process, where the model is warm."""

    job_class = ServedJob

    def __init__(
        self, connection: Redis, kind: Kind, model: str, handler: BatchHandler, max_cost: int, window_s: float,
        attendant: Attendant = Attendant(),  # noqa: B008
    ) -> None:  # fmt: skip
        queue = Queue(queue_name(kind, model), connection=connection, serializer="json", job_class=ServedJob)
        # Unique over hosts and restarts: RQ refuses a second worker of one name.
        name = f"{worker_name(kind, model, os.getpid())}-{uuid.uuid4().hex[:6]}"
        super().__init__([queue], name=name, connection=connection, serializer="json", job_class=ServedJob)
        self.kind, self.handler, self.attendant = kind, handler, attendant
        self.intake = Intake(queue, max_cost, window_s)
        self.janitor = Janitor(connection, queue, attendant)
        self.leases = Leases(connection, self._keep_up)
        self._has_signed_on = False
        self._suspension_due_s = 0.0

    @property
    def was_told_to_stop(self) -> bool:
        """Whether a signal ended the work; RQ ends it too, and only logs, when an error is beyond it."""
        return self._shutdown_requested_date is not None

    @property
    def is_leaving(self) -> bool:
        """Whether it takes no more jobs."""
        return bool(self._stop_requested)

    def work(self, *arguments: Any, **options: Any) -> bool:
        """Serve the queue until told to stop, or, with `burst=True`, until it is empty."""
        with self.leases.renewing():
            return super().work(*arguments, **options)

    def _shutdown(self) -> None:
        """Stop after the batch at hand: an exception out of a pop could lose what was popped."""
        self._stop_requested = True

    def bootstrap(self, *arguments: Any, **options: Any) -> None:
        """Sign on, as soon as Redis can be told."""
        self._patiently(partial(self._sign_on, *arguments, **options))
        self._has_signed_on = True

    def _sign_on(self, *arguments: Any, **options: Any) -> None:
        self.connection.delete(self.key)  # What is there is of an attempt whose answer was lost.
        super().bootstrap(*arguments, **options)

    def subscribe(self) -> None:
        """Listen to RQ's commands; once, however many attempts it takes to sign on."""
        if self.pubsub_thread is None:
            super().subscribe()

    def _keep_up(self) -> None:
        if self._has_signed_on:  # RQ takes a sign of life from before for another worker of this name.
            with self.connection.pipeline() as pipeline:
                self.heartbeat(pipeline=pipeline)
                pipeline.execute()
        self.janitor.tidy()

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tell RQ that this worker lives, on a pipeline; unasked the thread does that keeps up the leases."""
        if pipeline is not None:
            super().heartbeat(timeout, pipeline)

    def check_for_suspension(self, burst: bool) -> None:
        """Heed `rq suspend`, within a second."""
        if time.monotonic() >= self._suspension_due_s:
            self._patiently(lambda: super(BatchWorker, self).check_for_suspension(burst))
            self._suspension_due_s = time.monotonic() + SUSPENSION_S

    def teardown(self) -> None:
        """Sign off, if Redis can be told."""
        try:
            super().teardown()
        except RedisError as error:
            log.warning("not signed off: %s", error)

    def run_maintenance_tasks(self) -> None:
        """Let RQ tidy its registries and forget killed workers; but that of running jobs, which it might end twice."""
        self._patiently(self._maintain)
        self.last_cleaned_at = now()  # type: ignore[assignment]

    def _maintain(self) -> None:
        self.janitor.tidy()
        for registry in (self.intake.queue.finished_job_registry, self.intake.queue.failed_job_registry):
            registry.cleanup()
        clean_worker_registry(self.intake.queue)

    def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
        """The next batch and its queue; None when told to stop, when idle too long, or, without a timeout, at once."""
        idle_since_s = time.monotonic()
        idle_until_s = float("inf") if max_idle_time is None else idle_since_s + max_idle_time
        while not self._stop_requested and time.monotonic() < idle_until_s:
            batch = self._patiently(lambda: self._next(wait=timeout is not None))
            if batch is not None and batch.jobs:
                return batch, self.intake.queue
            if batch is None and timeout is None:
                return None
            self.attendant.idle(idle_since_s)
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
        return None

    def _next(self, wait: bool) -> Batch | None:
        ids = self.intake.pop(wait, partial(self.set_state, WorkerStatus.IDLE))
        return self.intake.claim(ids, self.name, partial(self.set_state, WorkerStatus.BUSY)) if ids else None

    def execute_job(self, job: Any, queue: Queue) -> None:
        """Run a batch, and commit what comes of its jobs as soon as it is there."""
        batch: Batch = job
        self.executions.update({each.id: each for each in batch.executions})
        self.attendant.began(batch.jobs)
        executions = dict(zip((each.id for each in batch.jobs), batch.executions, strict=True))
        with self.leases.held(batch):
            for outcomes in self._outcomes(batch.jobs):
                ends = [End(each, executions[each.id], outcome) for each, outcome in outcomes]
                for each in self._patiently(partial(self._commit, ends), LEASE_S):
                    self.attendant.ended(each, len(batch.jobs))
        del queue

    def _outcomes(self, jobs: Sequence[ServedJob]) -> Iterator[list[tuple[ServedJob, Outcome]]]:
        """What becomes of each job; those that name what is not ours are not run."""
        refused = {job.id: error for job in jobs if (error := _refusal(job, self.kind))}
        yield [(job, refused[job.id]) for job in jobs if job.id in refused]
        yield from self._handled([job for job in jobs if job.id not in refused])

    def _handled(self, jobs: Sequence[ServedJob]) -> Iterator[list[tuple[ServedJob, Outcome]]]:
        """The handler's outcomes; if a batch fails as a whole, each job is run alone, to find the one at fault."""
        if not jobs:
            return
        try:
            outcomes = self._attempt(jobs)
        except StopRequested:
            raise
        except Exception as error:
            if len(jobs) == 1:
                # Where it was when its time ran out says nothing.
                log.error("job %s failed: %s", jobs[0].id, error, exc_info=not isinstance(error, JobTimeoutException))
                yield [(jobs[0], error)]
                return
            log.warning("a batch of %d failed, running its jobs alone: %s", len(jobs), error)
            for job in jobs:
                yield from self._handled([job])
            return
        yield list(zip(jobs, outcomes, strict=True))

    def _attempt(self, jobs: Sequence[ServedJob]) -> Sequence[Outcome]:
        """Run the handler within the jobs' time; again, if Redis was away, since it makes the same again."""
        timeout_s = max(int(each.timeout or 0) for each in jobs)
        self.leases.allow(timeout_s)
        try:
            with UnixSignalDeathPenalty(timeout_s, JobTimeoutException):
                outcomes: Sequence[Outcome] = self._patiently(
                    partial(self.handler, jobs, partial(self._let_by, jobs)), LEASE_S
                )
        finally:
            self.leases.allow(float("inf"))  # Committing may wait for Redis as long as it takes.
        return outcomes

    def _let_by(self, jobs: Sequence[ServedJob]) -> None:
        """If these are longer than a batch, do one of what waits and is not, while they stand still."""
        is_long = any(each.cost > self.intake.max_cost for each in jobs)
        if self._stop_requested or not is_long or any(each.is_suspect for each in jobs):
            return
        with self.leases.paused():
            try:
                batch = self.intake.lesser(self.name)
            except RedisError as error:
                if not passes(error):
                    raise
                log.warning("nothing let by: %s", error)  # The janitor looks after what was popped.
                return
            if batch.jobs:
                self.execute_job(batch, self.intake.queue)

    def _commit(self, ends: Sequence[End]) -> list[ServedJob]:
        """End jobs in one transaction, each of them only while it is ours to end; those that it ended."""
        while ends:
            with Watch.on(self.connection) as pipeline:
                try:
                    standings = look_at(ends, self.name, pipeline)
                    ended = [self._end(*each, pipeline) for each in zip(ends, standings, strict=True)]
                    pipeline.execute()
                    return [each.job for each, was_ours in zip(ends, ended, strict=True) if was_ours]
                except WatchError:
                    continue
        return []

    def _end(self, end: End, standing: Standing, pipeline: Pipeline) -> bool:
        """Add the end of a job to a transaction; whether it is ours to end, or was."""
        if standing.is_ended:  # By an attempt whose answer was lost.
            self.executions.pop(end.execution.id, None)
            return True
        self.cleanup_execution(end.job, pipeline=pipeline, execution=end.execution)
        if not standing.is_ours:
            log.warning("job %s is not ours any more: its lease ran out; result dropped", end.job.id)
            return False
        if standing.is_cancelled or isinstance(end.outcome, JobCancelled):
            end.job.be_cancelled(pipeline)
        elif isinstance(end.outcome, Exception):
            details = "".join(traceback.format_exception(end.outcome))
            end.job.fail(failure_of(end.outcome), details, pipeline, end.execution)
            self.increment_failed_job_count(pipeline)
        else:
            keep(pipeline, end.job.id, end.outcome, end.job.get_result_ttl(DEFAULT_RESULT_TTL_S))
            end.outcome.also(pipeline)
            end.job.succeed(end.outcome.result, end.execution, pipeline)
            self.increment_successful_job_count(pipeline)
        return True

    def _patiently(self, work: Callable[[], Any], when_told_to_stop_s: float = 0.0) -> Any:
        """What `work` returns, tried again while Redis is away, or refuses.

        Raises:
            StopRequested: The worker was told to stop, and Redis stayed so for so long after.
        """
        pause_s, given_up_s = FIRST_PAUSE_S, float("inf")
        while True:
            try:
                return work()
            except RedisError as error:
                if not passes(error):
                    raise
                log.warning("waiting for Redis: %s", error)
                if self._stop_requested:
                    given_up_s = min(given_up_s, time.monotonic() + when_told_to_stop_s)
                if time.monotonic() >= given_up_s:
                    raise StopRequested from error
                leave(self.connection)
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _refusal(job: ServedJob, kind: Kind) -> Exception | None:
    try:
        job.check(str(kind))
    except Exception as error:
        return error
    return None
