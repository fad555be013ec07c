"""A job as our workers run it: only functions we allow, and news of its end.

Owns the allow-list, the refusal of callbacks and the completion stream. Knows nothing of
what the functions do.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from redis import Redis
from redis.client import Pipeline
from rq.job import Job
from rq.timeouts import JobTimeoutException

from worker.contract import DONE_STREAM, FailureReason
from worker.errors import JobError, JobRefused

STREAM_LENGTH = 10_000
STREAM_TTL_S = 24 * 3600

Handler = Callable[[Job, dict[str, Any]], dict[str, Any]]


class ServedJob(Job):
    """RQ would import any dotted path that Redis names; this job calls what `allowed` holds and nothing else."""

    allowed: dict[str, Handler]

    @property
    def func(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """The handler of this job's function.

        Raises:
            JobRefused: The job names another function, an instance or a callback.
        """
        callbacks = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        if self.func_name not in self.allowed or self.instance is not None or any(callbacks):
            raise JobRefused(f"job {self.id} names {self.func_name!r} with callbacks {callbacks}")
        return partial(self.allowed[self.func_name], self)

    @property
    def success_callback(self) -> None:
        """Never one."""

    @property
    def failure_callback(self) -> None:
        """Never one."""

    @property
    def stopped_callback(self) -> None:
        """Never one."""

    def send_webhooks(self, *_arguments: Any, **_options: Any) -> None:
        """Never one: a URL that Redis names is as strange as a function."""

    def perform(self) -> dict[str, Any]:
        """Run the job; a failure's reason is kept in its metadata, for the service to tell."""
        try:
            result: dict[str, Any] = super().perform()
        except Exception as error:
            self.meta["failure_reason"] = _reason(error)
            self.save_meta()
            raise
        return result

    def _handle_success(self, result_ttl: int, pipeline: Pipeline, *args: Any, **kwargs: Any) -> None:
        super()._handle_success(result_ttl, pipeline, *args, **kwargs)
        announce_end(pipeline, self.id)

    def _handle_failure(self, exc_string: str, pipeline: Pipeline, *args: Any, **kwargs: Any) -> None:
        super()._handle_failure(exc_string, pipeline, *args, **kwargs)
        announce_end(pipeline, self.id)


def announce_end(connection: Redis | Pipeline, job_id: str) -> None:
    """Tell every API process that a job has ended; in the transaction that ends it."""
    connection.xadd(DONE_STREAM, {"job_id": job_id}, maxlen=STREAM_LENGTH, approximate=True)
    connection.expire(DONE_STREAM, STREAM_TTL_S)


def _reason(error: Exception) -> FailureReason:
    if isinstance(error, JobError):
        return error.reason
    return FailureReason.TIMEOUT if isinstance(error, JobTimeoutException) else FailureReason.INTERNAL
