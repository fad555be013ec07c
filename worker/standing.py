"""Whose a job is to end: what came of it, and how Redis says that it stands.

Owns the questions and what their answers mean. Knows nothing of what an end writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rq.executions import Execution
from rq.job import JobStatus
from rq.utils import utcformat

from worker.contract import CANCEL_FIELD
from worker.made import Outcome
from worker.served_job import ServedJob
from worker.watch import Watch


@dataclass(frozen=True)
class End:
    """What came of one job."""

    job: ServedJob
    execution: Execution
    outcome: Outcome


@dataclass(frozen=True)
class Standing:
    """Whether a job is still its worker's to end, whether that is wished for, and whether it was done already."""

    is_ours: bool
    is_cancelled: bool
    is_ended: bool

    @classmethod
    def of(cls, end: End, name: str, told: Sequence[bytes | None], lease: float | None) -> "Standing":
        """Of a job of the worker `name`: status, worker, cancellation and time of the end as `told`, and its lease."""
        status, worker, cancelled, ended_at = told
        ours = (
            ended_at is not None and end.job.ended_at is not None and utcformat(end.job.ended_at) == ended_at.decode()
        )
        running = status == JobStatus.STARTED.encode()
        return cls(
            is_ours=running and worker == name.encode() and lease is not None,
            is_cancelled=cancelled is not None,
            is_ended=ours and not running,
        )


def look_at(ends: Sequence[End], name: str, pipeline: Watch) -> list[Standing]:
    """How jobs of the worker `name` stand; if one of them changes after, the transaction that follows fails."""
    for each in ends:
        pipeline.hmget(each.job.key, "status", "worker_name", CANCEL_FIELD, "ended_at")
        pipeline.zscore(each.job.started_job_registry.key, each.execution.composite_key)
    answers = pipeline.look(*(each.job.key for each in ends))
    return [Standing.of(each, name, *told) for each, *told in zip(ends, answers[::2], answers[1::2], strict=True)]
