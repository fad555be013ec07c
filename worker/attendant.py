"""Who is told what becomes of a worker's jobs, and of the time between them.

Owns the counting of waits and ends, their log lines, and the look at the canary. Knows nothing of how jobs are run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rq.utils import now

from worker.contract import queue_parts
from worker.job_log import JobLog
from worker.metrics import WorkerMetrics
from worker.served_job import ServedJob


class Attendant:
    """Hears it and does nothing."""

    def began(self, jobs: Sequence[ServedJob]) -> None:
        """This process has started jobs; once for each, however often what is made of them is tried."""

    def ended(self, job: ServedJob, batch_size: int) -> None:
        """This process has ended a job, and Redis knows; 0 = it ran in no batch of ours."""

    def idle(self, since_s: float) -> None:
        """There is nothing to do, since this moment of the monotonic clock; what it raises ends the work."""


@dataclass(frozen=True)
class Duty(Attendant):
    """Counts and tells of every end; `look` at the canary while there is nothing else to do."""

    metrics: WorkerMetrics
    job_log: JobLog
    look: Callable[[float], None]

    def began(self, jobs: Sequence[ServedJob]) -> None:
        """Tell how long they waited."""
        for job in jobs:
            if job.enqueued_at is not None:
                kind, model = queue_parts(job.origin)
                waited_s = (now() - job.enqueued_at).total_seconds()
                self.metrics.wait.labels(model, kind).observe(max(0.0, waited_s))

    def ended(self, job: ServedJob, batch_size: int) -> None:
        """Count it and tell of it."""
        kind, model = queue_parts(job.origin)
        self.metrics.jobs.labels(model, kind, job.outcome).inc()
        self.job_log.tell(job, batch_size)

    def idle(self, since_s: float) -> None:
        """Look at the canary; what it raises ends the work: pictures of a model that has changed are worth nothing."""
        self.look(since_s)
