"""What can go wrong with a job once a worker has it, each with the reason a client is told."""

from worker.contract import Failure, FailureReason


class JobError(Exception):
    """A job that cannot be done; `reason`, `field` and the `rows` it is about are all that leaves the house."""

    reason = FailureReason.INTERNAL
    field: str | None = None
    rows: tuple[int, ...] = ()

    @property
    def failure(self) -> Failure:
        """What a client is told."""
        return Failure(reason=self.reason, field=self.field, rows=self.rows)


class Overflow(JobError):
    """What the request asks for overflows float32; `field` is what it must change."""

    reason = FailureReason.OVERFLOW

    def __init__(self, field: str, words: str = "float32 overflows", rows: tuple[int, ...] = ()) -> None:
        super().__init__(f"{field}: {words}")
        self.field, self.rows = field, rows


class NonFiniteSample(JobError):
    """A picture holds NaN or infinity without guidance, too; `rows` are those of its request that do.

    It `is_noise_s` fault where the flow makes a finite picture of no noise at all, and else that of the weights or the
    device.
    """

    reason = FailureReason.NON_FINITE

    def __init__(self, words: str, rows: tuple[int, ...] = (), is_noise_s: bool = False) -> None:
        super().__init__(words)
        self.rows, self.is_noise_s = rows, is_noise_s


class ModelChanged(JobError):
    """The request was filled in for other weights than this worker holds."""

    reason = FailureReason.MODEL_CHANGED


class JobRefused(JobError):
    """A queued job names a function or a callback that is not ours."""


class JobCancelled(JobError):
    """Somebody asked for the job's end while it ran."""
