"""What a job is: its kind, where it is in its life, what is told of it, why it failed.

Owns those words. Knows nothing of what a job asks for.
"""

from enum import StrEnum

from worker.contract.frozen import Frozen


class Kind(StrEnum):
    """What a worker does; each kind has its own queue."""

    GENERATE = "generate"
    SCORE = "score"


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the job will never change again."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobEvent(StrEnum):
    """What is told of a job: its state, how far it is, its picture so far, its end."""

    STATUS = "status"
    PROGRESS = "progress"
    PREVIEW = "preview"
    DONE = "done"


class FailureReason(StrEnum):
    """Why a job failed, as far as a client may know."""

    OVERFLOW = "overflow"
    NON_FINITE = "non_finite"
    MODEL_CHANGED = "model_changed"
    TIMEOUT = "timeout"
    ABANDONED = "abandoned"
    INTERNAL = "internal"

    @property
    def is_ours(self) -> bool:
        """Whether the house is at fault, and not what the request asks for."""
        return self is not FailureReason.OVERFLOW


class Failure(Frozen):
    """Why a job failed.

    Attributes:
        reason: Of the house's own.
        field: What its request must change; None where the house is at fault.
        rows: Which of its pictures, from 0, are at fault, where that is known.
    """

    reason: FailureReason
    field: str | None = None
    rows: tuple[int, ...] = ()
