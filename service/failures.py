"""Why a job failed, as its client is told.

Owns the words, and which failures are the request's own. Knows nothing of how a job is run.
"""

from collections.abc import Mapping

from service.errors import FieldError, InvalidInput, JobFailed, ServiceError
from service.job_record import JobView
from worker.contract import (
    NO_CLASS,
    Failure,
    FailureReason,
    GenerateRequest,
    InterpolateRequest,
    Request,
    ScoreRequest,
    VerifyRequest,
)

HOUSE: Mapping[FailureReason, str] = {
    FailureReason.NON_FINITE: "the picture was not finite, with guidance or without",
    FailureReason.MODEL_CHANGED: "the model was replaced meanwhile; ask again",
    FailureReason.TIMEOUT: "the job ran into its time limit",
    FailureReason.ABANDONED: "its workers died, as often as it was tried",
    FailureReason.INTERNAL: "the worker met an internal error",
}
# What overflows, by the field that the request must change, without its place in a list; `{under}` is the model and
# class, `{these}` the seeds or the places that are at fault.
OVERFLOWS = {
    "image": "the way to its latents and back is beyond float32 under {under}: it is too far from what the model knows",
    "latents": "the way to their picture overflows float32 under {under}: they are too far from what the model knows",
    "guidance": "float32 overflows at this guidance under {under}, and at 0 does not; try a lower one",
    "seed": "no finite picture comes of {these} under {under}; give another, or none: then each request draws one "
    "anew, and one that repeats an Idempotency-Key the same",
    "n": "both images come back, and float32 overflows between them under {under}, at {these}; try another number",
}
QUERIES = ("guidance", "seed", "n")


def failure_in_words(failure: Failure, request: Request) -> str:
    """Why a job for this request failed, and in which field where the request is at fault."""
    if failure.field is None:
        return HOUSE[failure.reason]
    return f"{failure.field}: {_overflow(failure.field, failure.rows, request)}"


def failure_error(view: JobView) -> ServiceError:
    """What a job that has failed answers instead of a result."""
    failure, headers = view.failure or Failure(reason=FailureReason.INTERNAL), {"X-Job-Id": view.job_id}
    words = failure_in_words(failure, view.request)
    if failure.field is None:
        return JobFailed(f"job {view.job_id}: {words}", headers=headers)
    location = "query" if failure.field in QUERIES else "body"
    wrong = FieldError(failure.field, location, _overflow(failure.field, failure.rows, view.request))
    return InvalidInput(words, (wrong,), headers=headers)


def _overflow(field: str, rows: tuple[int, ...], request: Request) -> str:
    return OVERFLOWS[field.partition("[")[0]].format(under=_under(request), these=_these(rows, request))


def _these(rows: tuple[int, ...], request: Request) -> str:
    """Which pictures, as their request calls them: by their seeds, or by how far they are between two images."""
    if isinstance(request, GenerateRequest):
        return ", ".join(str(request.seeds[row]) for row in rows)
    if isinstance(request, InterpolateRequest):
        return ", ".join(f"{row / (request.n - 1):.2g}" for row in rows)
    return ""


def _under(request: Request) -> str:
    if isinstance(request, ScoreRequest | VerifyRequest):
        return request.model
    index = request.class_index
    return f"{request.model}, {'without a class' if index == NO_CLASS else f'class {index}'}"
