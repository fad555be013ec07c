"""Jobs as the service sees them: put in, looked at, taken out.

Owns the passage to RQ, its states and its keys. Knows nothing of HTTP. Every method blocks
on Redis, so routes call them in a thread.
"""

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from service.errors import UnknownJob
from service.redis_clients import redis_needed
from worker.contract import (
    FailureReason,
    GenerateRequest,
    GenerateResult,
    JobState,
    Kind,
    Request,
    ScoreResult,
    input_key,
    pace_key,
    pictures_key,
    queue_name,
)

# Until a worker has measured its own.
DEFAULT_PACE_S = 2.0
JOB_ID = re.compile("[0-9a-f]{32}")

STATES: Mapping[JobStatus, JobState] = {
    JobStatus.CREATED: JobState.QUEUED,
    JobStatus.QUEUED: JobState.QUEUED,
    JobStatus.DEFERRED: JobState.QUEUED,
    JobStatus.SCHEDULED: JobState.QUEUED,
    JobStatus.READY_TO_ENQUEUE: JobState.QUEUED,
    JobStatus.RATE_LIMITED: JobState.QUEUED,
    JobStatus.STARTED: JobState.RUNNING,
    JobStatus.FINISHED: JobState.SUCCEEDED,
    JobStatus.FAILED: JobState.FAILED,
    JobStatus.STOPPED: JobState.CANCELLED,
    JobStatus.CANCELED: JobState.CANCELLED,
}


@dataclass(frozen=True)
class JobView:
    """A job as it was when it was looked at.

    Attributes:
        position: Jobs ahead of it in its queue; None unless queued.
        failure: Why it failed; None unless it did.
    """

    job_id: str
    kind: Kind
    state: JobState
    request: Request
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    position: int | None = None
    failure: FailureReason | None = None


@dataclass(frozen=True)
class JobQueue:
    """The queues behind one Redis."""

    connection: Redis
    result_ttl_s: int
    job_timeout_s: int

    def submit(self, request: Request, job_id: str, pixels: bytes | None = None) -> None:
        """Queue a request under an id of `new_job_id`; the pixels of a scoring lie beside it.

        Raises:
            RedisAway: It could not be queued; nothing is left behind that does not expire.
        """
        kind = Kind.GENERATE if isinstance(request, GenerateRequest) else Kind.SCORE
        queue = Queue(queue_name(kind, request.model), connection=self.connection, serializer="json")
        with redis_needed():
            if pixels is not None:
                self.connection.set(input_key(job_id), pixels, ex=self.result_ttl_s)
            queue.enqueue(
                str(kind),
                args=(request.model_dump(mode="json"),),
                job_id=job_id,
                job_timeout=self.job_timeout_s,
                ttl=self.result_ttl_s,
                result_ttl=self.result_ttl_s,
                failure_ttl=self.result_ttl_s,
                description=f"{kind} {request.model}",
            )

    def view(self, job_id: str) -> JobView:
        """A job's state.

        Raises:
            UnknownJob: There is no such job, or no longer.
            RedisAway: Redis does not answer.
        """
        with redis_needed():
            job = self._fetch(job_id)
            status = job.get_status(refresh=False)
            state = STATES[status]
            position = job.get_position() if state is JobState.QUEUED else None
        reason = job.get_meta(refresh=False).get("failure_reason", FailureReason.INTERNAL)
        return JobView(
            job_id=job_id,
            kind=Kind(str(job.func_name)),
            state=state,
            request=_request(job),
            created_at=job.created_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
            position=position,
            failure=FailureReason(reason) if state is JobState.FAILED else None,
        )

    def generated(self, job_id: str) -> GenerateResult:
        """The result of a generation that succeeded; raises as `view`."""
        return GenerateResult.model_validate(self._return_value(job_id))

    def scored(self, job_id: str) -> ScoreResult:
        """The result of a scoring that succeeded; raises as `view`."""
        return ScoreResult.model_validate(self._return_value(job_id))

    def picture(self, job_id: str, field: str) -> bytes:
        """One PNG of a generation: an image by its number, or `sheet`; raises as `view`."""
        with redis_needed():
            content = self.connection.hget(pictures_key(job_id), field)
        if not isinstance(content, bytes):
            raise _unknown(job_id)
        return content

    def eta_s(self, view: JobView, workers: int) -> int:
        """Whole seconds until a job should have ended, by the pace of late and the queue ahead; at least 1."""
        with redis_needed():
            pace = self.connection.get(pace_key(view.kind, view.request.model))
        job_s = DEFAULT_PACE_S if pace is None else float(pace)
        return max(1, math.ceil(job_s * ((view.position or 0) + 1) / max(1, workers)))

    def _fetch(self, job_id: str) -> Job:
        if not JOB_ID.fullmatch(job_id):
            raise _unknown(job_id)
        try:
            return Job.fetch(job_id, connection=self.connection, serializer="json")
        except NoSuchJobError as error:
            raise _unknown(job_id) from error

    def _return_value(self, job_id: str) -> Any:
        with redis_needed():
            result = self._fetch(job_id).latest_result()
        if result is None:
            raise _unknown(job_id)
        return result.return_value


def new_job_id() -> str:
    """An id that nobody can guess."""
    return uuid.uuid4().hex


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"there is no job {job_id[:64]!r}, or its result has expired")


def _request(job: Job) -> Request:
    return TypeAdapter(Request).validate_python(job.args[0])
