"""The routes of work: generate, score, and the jobs they make.

Owns the order of a request's steps. What the steps do is elsewhere.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import WithJsonSchema
from starlette.requests import ClientDisconnect

from pictures.fitting import Fitted, Shape
from service.answers import FILES, Wish, answer_post, etag, job_body, media_types, not_modified, result_of
from service.cancellation import Cancelled
from service.content_negotiation import JSON, PNG, accepted_type, has_already, idempotency_key, preference
from service.departure import hung_up
from service.documentation import (
    CANCEL_RESPONSES,
    EVENTS_RESPONSES,
    GENERATE_RESPONSES,
    JOB_RESPONSES,
    RESULT_RESPONSES,
    SCORE_BODY,
    SCORE_RESPONSES,
)
from service.errors import JobEnded
from service.events import EVENT_ID, first_event_id, job_events
from service.house import House, TheHouse
from service.job_queue import new_job_id
from service.job_record import kind_of, posts_of
from service.members import Leaver
from service.parameters import BARE, said_once
from service.queries import GenerateQuery, ScoreQuery
from service.rate_limit import client_of
from service.score_body import read_uploads
from service.uploads import Upload, fit_upload
from worker.contract import JobState, Kind, ModelFacts, ScoreInput
from worker.contract import Request as Work

router = APIRouter()

# OpenAPI has another place for what it may be: the media types of the answers.
Accept = Annotated[str | None, Header(include_in_schema=False)]
KEY_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key"), WithJsonSchema(KEY_SCHEMA)]
EVENT_ID_SCHEMA = {"type": "string", "pattern": f"^{EVENT_ID.pattern}$"}


@dataclass(frozen=True)
class WishHeaders:
    """The headers of a POST that say how it is to be answered."""

    accept: str | None
    prefer: str | None
    idempotency_key: str | None
    if_none_match: str | None
    client_name: str | None = None

    def wish(self, house: House, offered: tuple[str, ...]) -> Wish:
        """What they mean; raises BadHeader, NotAcceptable."""
        return Wish(
            accepted_type(self.accept, offered),
            preference(self.prefer, house.settings.wait_s),
            idempotency_key(self.idempotency_key, self.client_name),
            self.if_none_match,
        )


async def wish_headers(
    request: Request,
    accept: Accept = None,
    prefer: Annotated[
        str | None, Header(description="`wait=N` seconds, at most 60, or `respond-async`; `previews`")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(description="the same key and request of one API client give the same job"),
        WithJsonSchema(KEY_SCHEMA),
    ] = None,
    if_none_match: Annotated[str | None, Header(description="`ETag`s of answers the client has")] = None,
) -> WishHeaders:
    """Take the headers together."""
    return WishHeaders(accept, prefer, idempotency_key, if_none_match, getattr(request.state, "client_name", None))


Headers = Annotated[WishHeaders, Depends(wish_headers)]


@router.post("/generate", responses=GENERATE_RESPONSES, dependencies=[Depends(said_once)], tags=["work"])
async def generate(
    request: Request, query: Annotated[GenerateQuery, Query()], house: TheHouse, headers: Headers
) -> Response:
    """Make pictures of a class: a PNG (a contact sheet where n > 1), or JSON with every picture."""
    wish = headers.wish(house, (PNG, JSON))
    facts = await house.models.ready(Kind.GENERATE, query.model or house.models.default)
    return await run_work(request, house, query.request(facts, wish.idempotency_key), wish)


@router.post(
    "/score", responses=SCORE_RESPONSES, openapi_extra=SCORE_BODY, dependencies=[Depends(said_once)], tags=["work"]
)
async def score(request: Request, query: Annotated[ScoreQuery, Query()], house: TheHouse, headers: Headers) -> Response:
    """The exact log-likelihood of each image, and how unusual it is; or a heat map of one.

    One image as the body, or up to 64 as multipart files named `image`.
    """
    wish = headers.wish(house, (JSON, PNG))
    uploads = await read_uploads(request, house.settings.max_upload_bytes)
    facts = await house.models.ready(Kind.SCORE, query.model or house.models.default)
    fitted = await fitted_to(facts, uploads, house)
    work = query.request(facts, tuple(map(ScoreInput.of, fitted)), heat_map=wish.media_type == PNG)
    return await run_work(request, house, work, wish, b"".join(each.pixels for each in fitted))


@router.head("/jobs/{job_id}", dependencies=BARE, include_in_schema=False)
@router.get("/jobs/{job_id}", responses=JOB_RESPONSES, dependencies=BARE, tags=["jobs"])
async def job(job_id: str, house: TheHouse) -> JSONResponse:
    """Where a job is: state, place in the queue, estimate, the request with all defaults filled in."""
    return JSONResponse(await job_body(house, await house.queue.view(job_id)))


@router.head("/jobs/{job_id}/result", dependencies=BARE, include_in_schema=False)
@router.get("/jobs/{job_id}/result", responses=RESULT_RESPONSES, dependencies=BARE, tags=["jobs"])
async def result(
    job_id: str, house: TheHouse, accept: Accept = None, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """The answer of a job that has succeeded, as the POST would have given it."""
    view = await house.queue.view(job_id)
    media_type = accepted_type(accept, media_types(view.request))
    response = await result_of(house, await house.queue.view(job_id, FILES[media_type]), media_type)
    if has_already(if_none_match, etag(view.request, media_type), exists=True):
        return not_modified(view.request, media_type)
    return response


@router.delete("/jobs/{job_id}", responses=CANCEL_RESPONSES, dependencies=BARE, tags=["jobs"])
async def cancel(request: Request, job_id: str, house: TheHouse, key: IdempotencyKey = None) -> JSONResponse:
    """End a job, a queued one at once, a running one after its flow block, or 64 passes of a score (202).

    What has succeeded or failed stays (409), what is cancelled already is answered as it is (200). While others wait
    for the same job it goes on (202). A client's word counts once for a job, however often it is sent, and with its
    hanging up; a client is the owner of an API key, else an address. Several behind one are told apart by the
    `Idempotency-Key` that each has asked under.
    """
    own_key = idempotency_key(key, getattr(request.state, "client_name", None))
    outcome = await house.queue.cancel(job_id, Leaver(client_of(request.scope), own_key))
    view = await house.queue.view(job_id)
    if outcome is Cancelled.ENDED:
        raise JobEnded(f"job {job_id} has {view.state} already")
    _count(house, view.request, outcome)
    return JSONResponse(await job_body(house, view), 200 if view.state is JobState.CANCELLED else 202)


async def known_job(job_id: str, house: TheHouse) -> str:
    """Raise UnknownJob before an answer begins."""
    return (await house.queue.view(job_id)).job_id


async def replayed_after(
    last_event_id: Annotated[str | None, Header(), WithJsonSchema(EVENT_ID_SCHEMA)] = None,
) -> str:
    """Raise BadHeader before an answer begins."""
    return first_event_id(last_event_id)


# Without HEAD: the answer to GET has not ended before its job has.
@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    responses=EVENTS_RESPONSES,
    dependencies=BARE,
    tags=["jobs"],
)
async def events(
    job_id: Annotated[str, Depends(known_job)], house: TheHouse, after: Annotated[str, Depends(replayed_after)]
) -> AsyncIterator[ServerSentEvent]:
    """What happens to a job: `status`, `progress`, `preview` (the picture after each flow block), `done`."""
    async for event in job_events(house, job_id, after):
        yield event


async def run_work(request: Request, house: House, work: Work, wish: Wish, pixels: bytes | None = None) -> Response:
    """Queue a request, wait as long as the client would, and answer."""
    request.state.model = work.model
    if has_already(wish.if_none_match, etag(work, wish.media_type), exists=False):
        return not_modified(work, wish.media_type)
    if purse := getattr(request.state, "purse", None):
        await purse.pay(posts_of(work))
    own_id, wait_s = new_job_id(), wish.preference.wait_s
    # Listened to before it is queued: its end cannot be missed.
    async with house.completions.watching(own_id) as listener:
        job_id = await house.queue.submit(work, own_id, pixels, wish.idempotency_key, wish.preference.previews)
        if job_id == own_id:
            left = await hung_up(request, listener.ended, wait_s)
        else:
            left = await _hung_up_on(request, house, job_id, wait_s)
    if left:
        leaver = Leaver(client_of(request.scope), wish.idempotency_key, own_id)
        _count(house, work, await house.queue.leave(job_id, work, leaver))
        raise ClientDisconnect
    return await answer_post(house, job_id, wish, is_new=job_id == own_id)


def _count(house: House, work: Work, outcome: Cancelled) -> None:
    """Count a job that ended here."""
    if outcome is Cancelled.CANCELLED:
        house.metrics.jobs.labels(work.model, kind_of(work), JobState.CANCELLED).inc()


async def _hung_up_on(request: Request, house: House, job_id: str, wait_s: float) -> bool:
    """`hung_up`, on a job that was there before."""
    async with house.completions.watching(job_id) as listener:
        # Its end may have been announced before we listened.
        view = await house.queue.view(job_id)
        return not view.state.is_terminal and await hung_up(request, listener.ended, wait_s)


async def fitted_to(facts: ModelFacts, uploads: list[Upload], house: House) -> list[Fitted]:
    """The images of uploads, decoded and fitted to a model; raises InvalidInput.

    They are taken out of the list: a client that waits for its result holds no more than its pixels.
    """
    shape, limit = Shape(facts.image_size, facts.in_channels), house.settings.max_image_pixels

    def fit() -> list[Fitted]:
        return [fit_upload(uploads.pop(0), shape, limit) for _ in range(len(uploads))]

    return await to_thread.run_sync(fit, limiter=house.decoding)
