"""Jobs and results as HTTP answers.

Owns bodies and headers. Knows nothing of routes or of how a job is run.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from fastapi.responses import JSONResponse, Response

from service.content_negotiation import JSON, PNG, PREVIEWS, RESPOND_ASYNC, Preference
from service.errors import JobCancelled, ResultNotReady, UnknownJob
from service.failures import failure_error, failure_in_words
from service.house import House
from service.job_record import JobView
from service.latent_answers import latent_answer, latent_types
from service.latent_files import SAFETENSORS
from worker.contract import (
    MAX_IMAGES,
    GenerateRequest,
    GenerateResult,
    JobState,
    Request,
    ScoreRequest,
    ScoreResult,
    canonical_digest,
    class_fields,
    score_answer,
)

# What an answer of a type is made of: a contact sheet, where there is one, before the first picture; latents; or all.
FILES = {
    PNG: ("sheet", "0"),
    SAFETENSORS: ("latents",),
    JSON: ("latents", *(str(index) for index in range(MAX_IMAGES))),
}


@dataclass(frozen=True)
class Wish:
    """What a client wants back: a media type, and how it would wait."""

    media_type: str
    preference: Preference
    idempotency_key: str | None = None
    if_none_match: str | None = None


async def job_body(house: House, view: JobView) -> dict[str, Any]:
    """A job as JSON."""
    eta_s = None
    if not view.state.is_terminal:
        eta_s = await house.queue.eta_s(view, await house.models.live_workers(view.kind, view.request.model))
    stamps = {"created_at": view.created_at, "started_at": view.started_at, "ended_at": view.ended_at}
    return {
        "job_id": view.job_id,
        "kind": view.kind,
        "state": view.state,
        "position": view.position,
        "progress": view.progress,
        "eta_s": eta_s,
        **{name: None if stamp is None else stamp.isoformat() for name, stamp in stamps.items()},
        "failure": failure_in_words(view.failure, view.request) if view.failure else None,
        "request": view.request.model_dump(mode="json"),
    }


async def answer_post(house: House, job_id: str, wish: Wish, is_new: bool) -> Response:
    """The result, or 202 where it is not there yet; `is_new` of a job that this request queued."""
    view = await house.queue.view(job_id, FILES[wish.media_type])
    if view.state.is_terminal:
        response = await result_of(house, view, wish.media_type)
    else:
        body = await job_body(house, view)
        response = JSONResponse(body, 202, {"Location": f"/jobs/{job_id}", "Retry-After": str(body["eta_s"])})
        response.headers["X-Job-Id"] = job_id
    # Who meets a job that is on its way cannot have its pictures from the first on, and a scoring has none.
    has_previews = is_new and not isinstance(view.request, ScoreRequest)
    unmet = ((PREVIEWS, has_previews), (RESPOND_ASYNC, response.status_code == 202))
    if honoured := wish.preference.honoured(*(name for name, is_met in unmet if not is_met)):
        response.headers["Preference-Applied"] = honoured
    return response


async def result_of(house: House, view: JobView, media_type: str) -> Response:
    """The result of a job that was looked at with its `FILES`.

    Raises:
        ResultNotReady, JobCancelled, JobFailed: It has none.
        InvalidInput: It has none, for what its request asks.
        UnknownJob: It has none any more.
    """
    if view.state is JobState.CANCELLED:
        raise JobCancelled(f"job {view.job_id} was cancelled")
    if view.state is JobState.FAILED:
        raise failure_error(view)
    if view.state is not JobState.SUCCEEDED:
        body = await job_body(house, view)
        raise ResultNotReady(f"job {view.job_id} is {view.state}", retry_after_s=body["eta_s"])
    if isinstance(view.request, GenerateRequest):
        response = await _pictures(house, view, view.request, media_type)
        response.headers["X-Seed"] = str(view.request.seed)
    elif not isinstance(view.request, ScoreRequest):
        response = await latent_answer(house, view, view.request, media_type)
    elif media_type == PNG:
        response = _heat_map(view)
    else:
        facts = await house.models.facts(view.request.model)
        scored = await house.queue.result(view.job_id, ScoreResult)
        response = JSONResponse({"job_id": view.job_id, **score_answer(view.request, scored, facts)})
    response.headers["X-Job-Id"] = view.job_id
    response.headers["X-Model"] = view.request.model
    response.headers["ETag"] = etag(view.request, media_type)
    response.headers["Vary"] = "Accept"
    return response


def etag(request: Request, media_type: str) -> str:
    """A strong tag: the same for the same request to the same weights in the same type."""
    content = f"{canonical_digest(request)} {media_type}"
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


def not_modified(request: Request, media_type: str) -> Response:
    """The client has the answer already: it needs no work."""
    return Response(status_code=304, headers={"ETag": etag(request, media_type), "Vary": "Accept"})


def media_types(request: Request) -> tuple[str, ...]:
    """The types a request's answer can have, the first of them unasked."""
    if isinstance(request, GenerateRequest):
        return (PNG, JSON)
    if not isinstance(request, ScoreRequest):
        return latent_types(type(request))
    return (JSON, PNG) if request.heat_map else (JSON,)


def _heat_map(view: JobView) -> Response:
    if not view.pictures:
        raise UnknownJob(f"the heat map of job {view.job_id} has expired")
    return Response(view.pictures[0], media_type=PNG)


async def _pictures(house: House, view: JobView, request: GenerateRequest, media_type: str) -> Response:
    if not view.pictures:
        raise UnknownJob(f"the pictures of job {view.job_id} have expired")
    if media_type == PNG:
        return Response(view.pictures[0], media_type=PNG)
    made = await house.queue.result(view.job_id, GenerateResult)
    images = [
        {
            "seed": seed,
            "png_base64": base64.b64encode(picture).decode(),
            "width": made.width,
            "height": made.height,
        }
        for seed, picture in zip(made.seeds, view.pictures, strict=True)
    ]
    facts = await house.models.facts(request.model)
    return JSONResponse(
        {
            "job_id": view.job_id,
            "model": request.model,
            **class_fields(request.class_index, facts),
            "guidance": request.guidance,
            "seed": request.seed,
            "denoise": request.denoise,
            "attention_temperature": request.attention_temperature,
            "images": images,
        }
    )
