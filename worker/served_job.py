"""A job as our workers run it: only functions we allow, and news of its end.

Owns the allow-list, the refusal of callbacks and the three ways a job ends, with what is let go at every
end. Knows nothing of what the functions do.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

from redis import Redis
from redis.client import Pipeline
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.timeouts import JobTimeoutException
from rq.utils import now, utcformat

from worker.contract import (
    IMAGES_FIELD,
    MAX_RETRIES,
    PASSES_FIELD,
    TRACE_FIELD,
    Failure,
    FailureReason,
    JobState,
    input_key,
    members_key,
)
from worker.errors import JobError, JobRefused
from worker.lease_registry import LeaseRegistry
from worker.news import tell_state

# Of a job that says nothing; ours all do.
DEFAULT_RESULT_TTL_S = 3600
# The outcome of a job that failed for what its request asks: nobody is to be woken for it.
INVALID = "invalid"

ENDS: Mapping[JobStatus, JobState] = {
    JobStatus.FINISHED: JobState.SUCCEEDED,
    JobStatus.FAILED: JobState.FAILED,
    JobStatus.CANCELED: JobState.CANCELLED,
}


class ServedJob(Job):
    """RQ would import any dotted path that Redis names; our workers run what they allow, and nothing by name.

    Attributes:
        traceparent: The trace it is part of, as the service queued it; None if it said nothing.
        cost: Images, or forward passes of a scoring.
    """

    traceparent: str | None = None
    cost: int = 1

    @classmethod
    def restored(cls, job_id: str, fields: Mapping[bytes, bytes], connection: Redis) -> Self:
        """The job of a hash."""
        job = cls(job_id, connection=connection, serializer="json")
        job.restore(fields)
        return job

    def restore(self, raw_data: Any) -> None:
        """Take the fields of its hash, ours too."""
        super().restore(raw_data)
        found = raw_data.get(TRACE_FIELD.encode())
        self.traceparent = None if found is None else found.decode(errors="replace")
        self.cost = int(raw_data.get(PASSES_FIELD.encode()) or raw_data.get(IMAGES_FIELD.encode()) or 1)

    @property
    def is_suspect(self) -> bool:
        """Whether a worker died over this job."""
        return self.retries_left is not None and self.retries_left < MAX_RETRIES

    @property
    def end(self) -> JobState | None:
        """How this process ended it; None unless it did."""
        return ENDS.get(self.get_status(refresh=False))

    @property
    def outcome(self) -> str | None:
        """Its end as it is counted: `invalid` where it failed for what its request asks; None as `end`."""
        reason = self.failure_reason
        return self.end if reason is None or FailureReason(reason).is_ours else INVALID

    @property
    def failure_reason(self) -> str | None:
        """Why it failed; None unless it did."""
        reason: str | None = self.get_meta(refresh=False).get("failure_reason")
        return reason if self.end is JobState.FAILED else None

    def check(self, allowed: str) -> None:
        """Raise JobRefused unless the job names the function `allowed`, and neither an instance nor a callback."""
        callbacks = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        if self.func_name != allowed or self.instance is not None or any(callbacks):
            raise JobRefused(f"job {self.id} names {self.func_name!r} with callbacks {callbacks}")

    @property
    def func(self) -> Callable[..., Any]:
        """Never one: what RQ would import.

        Raises:
            JobRefused: Always.
        """
        raise JobRefused(f"job {self.id}: RQ is not to run {self.func_name!r} by itself")

    @property
    def started_job_registry(self) -> LeaseRegistry:
        """Where the leases of its queue's running jobs are."""
        return LeaseRegistry(self.origin, connection=self.connection, job_class=type(self), serializer=self.serializer)

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

    def succeed(self, result: Mapping[str, Any], execution: Execution, pipeline: Pipeline) -> None:
        """End with a result; in the pipeline's transaction, like the other ends."""
        self.ended_at, self._result, self._status = now(), dict(result), JobStatus.FINISHED
        ttl = self.get_result_ttl(DEFAULT_RESULT_TTL_S)
        self._handle_success(ttl, pipeline, **_ran(self, execution))
        self.cleanup(ttl, pipeline=pipeline, remove_from_queue=False)
        self._leave(JobState.SUCCEEDED, pipeline)

    def fail(self, failure: Failure, details: str, pipeline: Pipeline, execution: Execution | None = None) -> None:
        """End with a failure that a client may be told of, and details that stay in the house."""
        self.meta |= {"failure_reason": failure.reason, "failure_field": failure.field, "failure_rows": failure.rows}
        self._become(JobStatus.FAILED, pipeline, meta=self.serializer.dumps(self.meta))
        self._handle_failure(details, pipeline, **(_ran(self, execution) if execution else {}))
        self._leave(JobState.FAILED, pipeline)

    def be_cancelled(self, pipeline: Pipeline) -> None:
        """End because it was asked to."""
        self._become(JobStatus.CANCELED, pipeline)
        self.cleanup(self.get_result_ttl(DEFAULT_RESULT_TTL_S), pipeline=pipeline, remove_from_queue=False)
        self._leave(JobState.CANCELLED, pipeline)

    def _become(self, status: JobStatus, pipeline: Pipeline, **more: Any) -> None:
        self.ended_at, self._status = now(), status
        fields: dict[Any, Any] = {"status": status, "ended_at": utcformat(self.ended_at), **more}
        pipeline.hset(self.key, mapping=fields)

    def _leave(self, state: JobState, pipeline: Pipeline) -> None:
        """Tell the end, and keep no pixels and no wishes that nobody can have any more."""
        tell_state(pipeline, self.id, state)
        pipeline.delete(input_key(self.id), members_key(self.id))


def as_served(job: Job) -> ServedJob:
    """The job as ours; RQ makes every job of the class it was told."""
    if not isinstance(job, ServedJob):
        raise TypeError(f"job {job.id} is a {type(job).__name__}")
    return job


def _ran(job: Job, execution: Execution) -> dict[str, Any]:
    return {
        "worker_name": job.worker_name or "",
        "execution_id": execution.id,
        "execution_started_at": execution.created_at,
        "execution_ended_at": job.ended_at,
    }


def failure_of(error: BaseException) -> Failure:
    """What a client may be told of an error."""
    if isinstance(error, JobError):
        return error.failure
    timed_out = isinstance(error, JobTimeoutException)
    return Failure(reason=FailureReason.TIMEOUT if timed_out else FailureReason.INTERNAL)
