"""What can go wrong with a job once a worker has it, each with the reason a client is told."""

from worker.contract import Failure, FailureReason


class JobError(Exception):
    """A job that cannot be done; `reason` and `field` are all that leaves the house."""

    reason = FailureReason.INTERNAL
    field: str | None = None

    @property
    def failure(self) -> Failure:
        """What a client is told."""
        return Failure(reason=self.reason, field=self.field)


class Overflow(JobError):
    """What the request asks for overflows float32; `field` is what it must change."""

    reason = FailureReason.OVERFLOW

    def __init__(self, field: str, words: str = "float32 overflows") -> None:
        super().__init__(f"{field}: {words}")
        self.field = field


class NonFiniteSample(JobError):
    """A picture holds NaN or infinity without guidance, too; `rows` are those of its request that do."""

    reason = FailureReason.NON_FINITE

    def __init__(self, words: str, rows: tuple[int, ...] = ()) -> None:
        super().__init__(words)
        self.rows = rows


class ModelChanged(JobError):
    """The request was filled in for other weights than this worker holds."""

    reason = FailureReason.MODEL_CHANGED


class JobRefused(JobError):
    """A queued job names a function or a callback that is not ours."""


class JobCancelled(JobError):
    """Somebody asked for the job's end while it ran."""
