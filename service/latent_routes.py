"""The routes there and back: images to latents, latents to pictures, what lies between, and what is true of a picture.

Owns the order of a request's steps. What the steps do is elsewhere.
"""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from service.claims import read_claim
from service.content_negotiation import JSON
from service.documentation import (
    DECODE_BODY,
    ENCODE_RESPONSES,
    IMAGE_BODY,
    IMAGES_BODY,
    PNG_BODY,
    SHEET_RESPONSES,
    VERIFY_RESPONSES,
)
from service.errors import UnsupportedType
from service.house import House, TheHouse
from service.latent_answers import latent_types
from service.latent_files import SAFETENSORS, Latents, check_length
from service.latent_queries import ClassQuery, DecodeQuery, InterpolateQuery, verification
from service.parameters import BARE, said_once
from service.routes import Headers, fitted_to, run_work
from service.score_body import Wanted, check_plain, media_type_of, read_uploads
from worker.contract import (
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    Kind,
    ModelFacts,
    ScoreInput,
    VerifyRequest,
)

# Several bodies in one need a form; a picture that claims something is a PNG.
ONE, TWO, ONE_PNG = Wanted(), Wanted(fewest=2, most=2, media_types=()), Wanted(media_types=("image/png",))

router = APIRouter(tags=["there and back"], dependencies=[Depends(said_once)])


@router.post("/encode", responses=ENCODE_RESPONSES, openapi_extra=IMAGE_BODY)
async def encode(
    request: Request, query: Annotated[ClassQuery, Query()], house: TheHouse, headers: Headers
) -> Response:
    """An image's latents, (T, D): JSON, or a safetensors file; and how well the image comes back from them."""
    wish = headers.wish(house, latent_types(EncodeRequest))
    uploads = await read_uploads(request, house.settings.max_upload_bytes, ONE)
    facts = await _facts(house, query.model)
    (fitted,) = await fitted_to(facts, uploads, house)
    return await run_work(request, house, query.encoding(facts, ScoreInput.of(fitted)), wish, fitted.pixels)


@router.post("/decode", responses=SHEET_RESPONSES, openapi_extra=DECODE_BODY)
async def decode(
    request: Request, query: Annotated[DecodeQuery, Query()], house: TheHouse, headers: Headers
) -> Response:
    """The picture of latents, a safetensors file or JSON: the one that `/generate` makes from the same noise."""
    wish = headers.wish(house, latent_types(DecodeRequest))
    check_plain(request)
    media_type = media_type_of(request)
    readers = {SAFETENSORS: Latents.from_safetensors, JSON: Latents.from_json}
    if media_type not in readers:
        raise UnsupportedType(f"Content-Type: {media_type[:100]!r} is not read; send {SAFETENSORS} or {JSON}")
    body, facts = await request.body(), await _facts(house, query.model)
    check_length(body, facts.latent_shape)
    latents = await to_thread.run_sync(readers[media_type], body, facts.latent_shape, limiter=house.decoding)
    return await run_work(request, house, query.decoding(facts, latents), wish, latents.content)


@router.post("/interpolate", responses=SHEET_RESPONSES, openapi_extra=IMAGES_BODY)
async def interpolate(
    request: Request, query: Annotated[InterpolateQuery, Query()], house: TheHouse, headers: Headers
) -> Response:
    """Pictures from one image to another, evenly spaced on the sphere of their latents, both ends among them."""
    wish = headers.wish(house, latent_types(InterpolateRequest))
    uploads = await read_uploads(request, house.settings.max_upload_bytes, TWO)
    facts = await _facts(house, query.model)
    start, end = await fitted_to(facts, uploads, house)
    work = query.between(facts, (ScoreInput.of(start), ScoreInput.of(end)))
    return await run_work(request, house, work, wish, start.pixels + end.pixels)


@router.post("/verify", responses=VERIFY_RESPONSES, openapi_extra=PNG_BODY, dependencies=BARE)
async def verify(request: Request, house: TheHouse, headers: Headers) -> Response:
    """Whether a PNG of ours is what it says: recomputed from its own words, and compared pixel by pixel."""
    wish = headers.wish(house, latent_types(VerifyRequest))
    uploads = await read_uploads(request, house.settings.max_upload_bytes, ONE_PNG)
    limit = house.settings.max_image_pixels
    claim = await to_thread.run_sync(read_claim, uploads.pop(), limit, limiter=house.decoding)
    facts = await _facts(house, claim.request.model)
    return await run_work(request, house, verification(facts, claim), wish, claim.pixels)


async def _facts(house: House, name: str | None) -> ModelFacts:
    """Of the model, which can be worked for now: all of this takes its inverse."""
    return await house.models.ready(Kind.GENERATE, name or house.models.default)
