"""What can go wrong with a job once a worker has it, each with the reason a client is told."""

from worker.contract import FailureReason


class JobError(Exception):
    """A job that cannot be done; `reason` is all that leaves the house."""

    reason = FailureReason.INTERNAL


class NonFiniteSample(JobError):
    """A picture holds NaN or infinity, under the corrected guidance rule too."""

    reason = FailureReason.NON_FINITE


class ModelChanged(JobError):
    """The request was filled in for other weights than this worker holds."""

    reason = FailureReason.MODEL_CHANGED


class JobRefused(JobError):
    """A queued job names a function or a callback that is not ours."""


class JobCancelled(JobError):
    """Somebody asked for the job's end while it ran."""
