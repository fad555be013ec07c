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
from rq import Queue, Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.utils import as_text

from service.admission import Admission, Verdict
from service.cancellation import Cancellation, Cancelled
from service.errors import KeyReused, QueueFull, UnknownJob
from service.redis_clients import redis_needed
from worker.contract import (
    IMAGES_FIELD,
    MAX_RETRIES,
    PREVIEW_FIELD,
    PROGRESS_FIELD,
    FailureReason,
    GenerateRequest,
    GenerateResult,
    JobState,
    Kind,
    Request,
    ScoreResult,
    canonical_digest,
    input_key,
    job_key,
    pace_key,
    pictures_key,
    queue_name,
)

# Seconds an image takes, until a worker has measured its own.
DEFAULT_PACE_S = 2.0
HELD_RETRY_AFTER_S = 60
JOB_ID = re.compile("[0-9a-f]{32}")

SET_IF_THERE = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end"

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
        images_ahead: Their images.
        progress: Share of the work that is done, 0..1, exact: blocks of the flow that are behind it.
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
    images_ahead: int | None = None
    progress: float = 0.0
    failure: FailureReason | None = None


@dataclass(frozen=True)
class JobQueue:
    """The queues behind one Redis."""

    connection: Redis
    admission: Admission
    cancellation: Cancellation
    job_timeout_s: int

    def submit(
        self, request: Request, job_id: str, pixels: bytes | None = None, idempotency_key: str | None = None
    ) -> str:
        """Queue a request under an id of `new_job_id`; the id of the job that will answer it, perhaps an older one.

        Raises:
            QueueFull: There is no room.
            KeyReused: The idempotency key belongs to another request.
            RedisAway: It could not be queued; nothing is left behind that does not expire.
        """
        kind = _kind(request)
        images = request.n if isinstance(request, GenerateRequest) else len(request.images)
        ttl_s = self.admission.limits.result_ttl_s
        with redis_needed():
            queue = self._queue(kind, request.model)
            job = queue.create_job(
                str(kind),
                args=(request.model_dump(mode="json"),),
                job_id=job_id,
                timeout=self.job_timeout_s,
                ttl=ttl_s,
                result_ttl=ttl_s,
                failure_ttl=ttl_s,
                retry=Retry(max=MAX_RETRIES, enqueue_at_front=True),
                description=f"{kind} {request.model}",
            )
            if pixels is not None:
                self.connection.set(input_key(job_id), pixels, ex=ttl_s)
            admitted = self.admission.admit(queue, job, images, canonical_digest(request), idempotency_key)
            if pixels is not None and admitted.verdict is not Verdict.QUEUED:
                self.connection.delete(input_key(job_id))
        if admitted.verdict is Verdict.CONFLICT:
            raise KeyReused("Idempotency-Key: it was used for another request; use a new one")
        if admitted.verdict is Verdict.HELD:
            raise QueueFull("the results that are kept take all the room there is", retry_after_s=HELD_RETRY_AFTER_S)
        if admitted.verdict is Verdict.FULL:
            raise QueueFull(
                f"{admitted.about} images wait already, at most {self.admission.limits.max_queued} may",
                retry_after_s=self._seconds(kind, request.model, images, workers=1),
            )
        return admitted.about

    def cancel(self, job_id: str) -> Cancelled:
        """End a job before its time; raises as `view`."""
        view = self.view(job_id)
        with redis_needed():
            return self.cancellation.cancel(job_id, self._queue(view.kind, view.request.model).key)

    def want_previews(self, job_id: str) -> None:
        """Let the pictures on their way be told of too; raises as `view`."""
        with redis_needed():
            job = self._fetch(job_id)
            if not STATES[job.get_status(refresh=False)].is_terminal:
                # In one step, so that a job that expires meanwhile is not left behind as this one field.
                self.connection.register_script(SET_IF_THERE)(keys=[job.key], args=[PREVIEW_FIELD, 1])

    def leave(self, job_id: str, request: Request) -> None:
        """A client that waited hung up."""
        kind = _kind(request)
        with redis_needed():
            self.cancellation.leave(job_id, self._queue(kind, request.model).key)

    def _queue(self, kind: Kind, model: str) -> Queue:
        return Queue(queue_name(kind, model), connection=self.connection, serializer="json")

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
            ahead = self._images_ahead(job) if state is JobState.QUEUED else None
            progress = self.connection.hget(job.key, PROGRESS_FIELD)
        reason = job.get_meta(refresh=False).get("failure_reason", FailureReason.INTERNAL)
        return JobView(
            job_id=job_id,
            kind=Kind(str(job.func_name)),
            state=state,
            request=_request(job),
            created_at=job.created_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
            position=None if ahead is None else ahead.jobs,
            images_ahead=None if ahead is None else ahead.images,
            progress=_progress(state, progress),
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
        request = view.request
        own = request.n if isinstance(request, GenerateRequest) else len(request.images)
        images = (view.images_ahead or 0) + own * (1 - view.progress)
        return self._seconds(view.kind, request.model, images, workers)

    def _seconds(self, kind: Kind, model: str, images: float, workers: int) -> int:
        """Whole seconds that so many images take, by the pace of late; at least 1."""
        with redis_needed():
            pace = self.connection.get(pace_key(kind, model))
        image_s = DEFAULT_PACE_S if pace is None else float(pace)
        return max(1, math.ceil(image_s * images / max(1, workers)))

    def _images_ahead(self, job: Job) -> "_Ahead":
        """What is in the queue before a job that is queued; nothing if it was just popped."""
        ids = [as_text(each) for each in self.connection.lrange(f"rq:queue:{job.origin}", 0, -1)]
        if job.id not in ids:
            return _Ahead(0, 0)
        before = ids[: ids.index(job.id)]
        with self.connection.pipeline(transaction=False) as pipeline:
            for each in before:
                pipeline.hget(job_key(each), IMAGES_FIELD)
            return _Ahead(len(before), sum(int(images or 1) for images in pipeline.execute()))

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


@dataclass(frozen=True)
class _Ahead:
    """Jobs and images before a job."""

    jobs: int
    images: int


def _progress(state: JobState, noted: Any) -> float:
    if state is JobState.SUCCEEDED:
        return 1.0
    if state is JobState.QUEUED or not isinstance(noted, bytes):  # Queued again, it begins again.
        return 0.0
    done, _, steps = noted.decode().partition("/")
    return int(done) / int(steps)


def new_job_id() -> str:
    """An id that nobody can guess."""
    return uuid.uuid4().hex


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"there is no job {job_id[:64]!r}, or its result has expired")


def _kind(request: Request) -> Kind:
    return Kind.GENERATE if isinstance(request, GenerateRequest) else Kind.SCORE


def _request(job: Job) -> Request:
    return TypeAdapter(Request).validate_python(job.args[0])
