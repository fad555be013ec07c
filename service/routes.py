"""The routes of work: generate, score, and the jobs they make.

Owns the order of a request's steps. What the steps do is elsewhere.
"""

import asyncio
import contextlib
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from pictures.fitting import Shape
from service.answers import Wish, answer_post, etag, job_body, result_of
from service.content_negotiation import JSON, PNG, accepted_type, preference
from service.documentation import GENERATE_RESPONSES, JOB_RESPONSES, RESULT_RESPONSES, SCORE_BODY, SCORE_RESPONSES
from service.house import House, house_of
from service.job_queue import new_job_id
from service.queries import GenerateQuery, ScoreQuery
from service.score_body import read_uploads
from service.uploads import Fitted, Upload, fit_upload
from worker.contract import GenerateRequest, Kind, ScoreRequest

router = APIRouter()

TheHouse = Annotated[House, Depends(house_of)]
Accept = Annotated[str | None, Header()]
Prefer = Annotated[str | None, Header(description="`wait=N` seconds, at most 60, or `respond-async`")]


@router.post("/generate", responses=GENERATE_RESPONSES, tags=["work"])
async def generate(
    query: Annotated[GenerateQuery, Query()], house: TheHouse, accept: Accept = None, prefer: Prefer = None
) -> Response:
    """Make pictures of a class: a PNG (a contact sheet where n > 1), or JSON with every picture."""
    wish = Wish(accepted_type(accept, (PNG, JSON)), preference(prefer, house.settings.wait_s))
    facts = await to_thread.run_sync(house.models.ready, Kind.GENERATE, query.model or house.models.default)
    return await _run(house, query.request(facts), wish)


@router.post("/score", responses=SCORE_RESPONSES, openapi_extra=SCORE_BODY, tags=["work"])
async def score(
    request: Request,
    query: Annotated[ScoreQuery, Query()],
    house: TheHouse,
    accept: Accept = None,
    prefer: Prefer = None,
) -> Response:
    """The exact log-likelihood of each image: one as the body, or up to 64 as multipart files named `image`."""
    wish = Wish(accepted_type(accept, (JSON,)), preference(prefer, house.settings.wait_s))
    uploads = await read_uploads(request, house.settings.max_upload_bytes)
    facts = await to_thread.run_sync(house.models.ready, Kind.SCORE, query.model or house.models.default)
    shape = Shape(facts.image_size, facts.in_channels)
    fitted = await to_thread.run_sync(_fit_all, uploads, shape, house.settings.max_image_pixels)
    work = query.request(facts, tuple(each.facts for each in fitted))
    return await _run(house, work, wish, b"".join(each.pixels for each in fitted))


@router.get("/jobs/{job_id}", responses=JOB_RESPONSES, tags=["jobs"])
def job(job_id: str, house: TheHouse) -> JSONResponse:
    """Where a job is: state, place in the queue, estimate, the request with all defaults filled in."""
    return JSONResponse(job_body(house, house.queue.view(job_id)))


@router.get("/jobs/{job_id}/result", responses=RESULT_RESPONSES, tags=["jobs"])
def result(
    job_id: str, house: TheHouse, accept: Accept = None, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The answer of a job that has succeeded, as the POST would have given it."""
    view = house.queue.view(job_id)
    media_type = accepted_type(accept, (PNG, JSON) if view.kind is Kind.GENERATE else (JSON,))
    response = result_of(house, view, media_type)
    # Compared weakly (RFC 9110): a proxy that compresses an answer weakens its tag.
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    if tags & {etag(view, media_type), "*"}:
        return Response(status_code=304, headers={"ETag": etag(view, media_type), "Vary": "Accept"})
    return response


async def _run(
    house: House, request: GenerateRequest | ScoreRequest, wish: Wish, pixels: bytes | None = None
) -> Response:
    """Queue a request, wait as long as the client would, and answer."""
    job_id = new_job_id()
    async with house.completions.watching(job_id) as ended:
        await to_thread.run_sync(house.queue.submit, request, job_id, pixels)
        if wish.preference.wait_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), wish.preference.wait_s)
    return await to_thread.run_sync(answer_post, house, job_id, wish)


def _fit_all(uploads: list[Upload], shape: Shape, max_pixels: int) -> list[Fitted]:
    return [fit_upload(upload, shape, max_pixels) for upload in uploads]
