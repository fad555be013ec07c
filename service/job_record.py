"""A job as RQ keeps it in Redis: what is written for a new one, and what is read of an old one.

Owns RQ's format and its states. Sends nothing: the connection that RQ's classes want is never used.
"""

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import TypeAdapter
from redis import Redis
from rq import Retry
from rq.job import Job, JobStatus
from rq.results import Result
from rq.scripts import _build_hset_args
from rq.utils import now

from worker.contract import (
    CHUNK_PASSES,
    MAX_RETRIES,
    PROGRESS_FIELD,
    Failure,
    FailureReason,
    JobState,
    Kind,
    Request,
    ScoreRequest,
    images_of,
    queue_name,
)

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
REQUESTS: TypeAdapter[Request] = TypeAdapter(Request)
# RQ's classes insist on a connection.
NOWHERE = Redis()


@dataclass(frozen=True)
class JobView:
    """A job as it was when it was looked at.

    Attributes:
        position: Jobs ahead of it in its queue; None unless queued.
        cost_ahead: What they cost, as `cost_of` counts.
        progress: Share of the work that is done, 0..1, exact: blocks of the flow that are behind it, or the forward
            passes of a scoring.
        failure: Why it failed; None unless it did.
        pictures: PNGs that were asked for and are there.
    """

    job_id: str
    kind: Kind
    state: JobState
    request: Request
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    position: int | None = None
    cost_ahead: int | None = None
    progress: float = 0.0
    failure: Failure | None = None
    pictures: tuple[bytes, ...] = ()

    @classmethod
    def of(
        cls, job_id: str, fields: Mapping[bytes, bytes], jobs_ahead: int, cost_ahead: int, pictures: tuple[bytes, ...]
    ) -> Self:  # fmt: skip
        """The view of a job's hash; what is ahead counts while it is queued."""
        state = STATES[JobStatus(fields[b"status"].decode())]
        kind, _, (request,), _ = json.loads(zlib.decompress(fields[b"data"]))
        queued = state is JobState.QUEUED
        return cls(
            job_id=job_id,
            kind=Kind(kind),
            state=state,
            request=REQUESTS.validate_python(request),
            created_at=_moment(fields.get(b"created_at")),
            started_at=_moment(fields.get(b"started_at")),
            ended_at=_moment(fields.get(b"ended_at")),
            position=jobs_ahead if queued else None,
            cost_ahead=cost_ahead if queued else None,
            progress=_progress(state, fields.get(PROGRESS_FIELD.encode())),
            failure=_failure(fields.get(b"meta")) if state is JobState.FAILED else None,
            pictures=pictures,
        )


def new_job_fields(
    job_id: str, request: Request, timeout_s: int, queued_ttl_s: int, result_ttl_s: int
) -> list[str | bytes]:
    """Names and values of a queued job's hash, in turn."""
    kind = kind_of(request)
    job = Job.create(
        str(kind),
        args=(request.model_dump(mode="json"),),
        id=job_id,
        timeout=timeout_s,
        ttl=queued_ttl_s,
        result_ttl=result_ttl_s,
        failure_ttl=result_ttl_s,
        retry=Retry(max=MAX_RETRIES, enqueue_at_front=True),
        description=f"{kind} {request.model}",
        origin=queue_name(kind, request.model),
        status=JobStatus.QUEUED,
        connection=NOWHERE,
        serializer="json",
    )
    job.enqueued_at = now()
    fields: list[str | bytes] = _build_hset_args(job)
    return fields


def returned(job_id: str, entry: tuple[bytes, dict[bytes, bytes]]) -> Any:
    """What a job returned, from the last entry of its results."""
    entry_id, fields = entry
    return Result.restore(job_id, entry_id.decode(), fields, NOWHERE, "json").return_value


def kind_of(request: Request) -> Kind:
    """Whose work a request is: all that takes the flow's inverse is the work of who makes pictures."""
    return Kind.SCORE if isinstance(request, ScoreRequest) else Kind.GENERATE


def passes_of(request: Request) -> int:
    """Forward passes that a scoring takes; 0 for anything else, which is counted in images."""
    return request.passes if isinstance(request, ScoreRequest) else 0


def posts_of(request: Request) -> int:
    """POSTs that a request counts as in its client's rate: one; a scoring one for each chunk of passes begun."""
    return max(1, math.ceil(passes_of(request) / CHUNK_PASSES))


def cost_of(request: Request) -> int:
    """What a request costs its worker, in the unit of its queue's pace: passes of a scoring, else images."""
    return passes_of(request) or images_of(request)


def _moment(written: bytes | None) -> datetime | None:
    return datetime.fromisoformat(written.decode()) if written else None


def _failure(meta: bytes | None) -> Failure:
    told = json.loads(meta) if meta else {}
    reason, rows = told.get("failure_reason", FailureReason.INTERNAL), told.get("failure_rows", ())
    return Failure(reason=reason, field=told.get("failure_field"), rows=rows)


def _progress(state: JobState, noted: bytes | None) -> float:
    if state is JobState.SUCCEEDED:
        return 1.0
    if state is JobState.QUEUED or noted is None:  # Queued again, it begins again.
        return 0.0
    done, _, steps = noted.decode().partition("/")
    return int(done) / int(steps)
