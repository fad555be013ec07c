"""One line for each job that ends, and its spans.

Owns what is told of a job: never its request. Knows nothing of how it is run.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime

from telemetry.log_lines import log_fields
from telemetry.spans import NoSpans, Spans
from telemetry.traces import Trace
from worker.contract import queue_parts
from worker.served_job import ServedJob

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobLog:
    """Where the ends of jobs are told."""

    spans: Spans = field(default_factory=NoSpans)

    def tell(self, job: ServedJob, batch_size: int) -> None:
        """Tell how a job has ended; one that another worker ends is that one's to tell of."""
        outcome = job.outcome
        if outcome is None:
            return
        kind, model = queue_parts(job.origin)
        trace = Trace.under(job.traceparent)
        fields = {
            "job_id": job.id,
            "kind": kind,
            "model": model,
            "outcome": outcome,
            "reason": job.failure_reason,
            "wait_ms": _ms_between(job.enqueued_at, job.started_at),
            "run_ms": _ms_between(job.started_at, job.ended_at),
            "batch_size": batch_size,
            "trace_id": trace.trace_id,
        }
        log_fields(log, logging.INFO, f"job {job.id} {outcome}", fields)
        self._record(job, trace, batch_size)

    def _record(self, job: ServedJob, trace: Trace, batch_size: int) -> None:
        attributes: dict[str, str | int | float] = {
            "tarflow.job_id": job.id,
            "tarflow.queue": job.origin,
            "tarflow.batch_size": batch_size,
        }
        spans = {"queue wait": (job.enqueued_at, job.started_at), "batch": (job.started_at, job.ended_at)}
        for name, (begun, ended) in spans.items():
            if begun and ended:
                self.spans.record(name, trace.sister(), begun.timestamp(), ended.timestamp(), attributes)


def _ms_between(begun: datetime | None, ended: datetime | None) -> float | None:
    return None if begun is None or ended is None else round(1e3 * (ended - begun).total_seconds(), 1)
