"""Results of the way there and back as HTTP answers.

Owns their bodies. Knows nothing of routes or of headers.
"""

import base64
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse, Response

from service.class_fields import class_fields
from service.content_negotiation import JSON, PNG
from service.errors import UnknownJob
from service.house import House
from service.job_record import JobView
from service.latent_files import SAFETENSORS, Latents
from worker.contract import (
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    ModelFacts,
    VerifyRequest,
    VerifyResult,
)

LatentRequest = EncodeRequest | DecodeRequest | InterpolateRequest | VerifyRequest
TYPES: Mapping[type[LatentRequest], tuple[str, ...]] = {
    EncodeRequest: (JSON, SAFETENSORS),
    DecodeRequest: (PNG, JSON),
    InterpolateRequest: (PNG, JSON),
    VerifyRequest: (JSON,),
}


def latent_types(request: type[LatentRequest]) -> tuple[str, ...]:
    """The types that the answer to such a request can have, the first of them unasked."""
    return TYPES[request]


async def latent_answer(house: House, view: JobView, request: LatentRequest, media_type: str) -> Response:
    """The result of a job that was looked at with the files of its media type; raises UnknownJob."""
    if isinstance(request, VerifyRequest):
        return JSONResponse(_verified(view.job_id, request, await house.queue.verified(view.job_id)))
    if not view.pictures:
        raise UnknownJob(f"what job {view.job_id} made has expired")
    facts = await house.models.facts(request.model)
    if isinstance(request, EncodeRequest):
        return await _encoded(house, view, request, facts, media_type)
    if media_type == PNG:
        return Response(view.pictures[0], media_type=PNG)
    return JSONResponse(await _painted(house, view, request, facts))


async def _encoded(
    house: House, view: JobView, request: EncodeRequest, facts: ModelFacts | None, media_type: str
) -> Response:
    if facts is None:
        raise UnknownJob(f"the model of job {view.job_id} is no longer known")
    latents, classes = Latents(view.pictures[0]), class_fields(request.class_index, facts)
    if media_type == SAFETENSORS:
        words = {"model": request.model, "model_digest": request.model_digest}
        told = {name: str(value) for name, value in classes.items() if value is not None}
        return Response(latents.to_safetensors(facts.latent_shape, words | told), media_type=SAFETENSORS)
    trip = (await house.queue.encoded(view.job_id)).model_dump(mode="json")
    body = {
        "job_id": view.job_id,
        "model": request.model,
        "model_digest": request.model_digest,
        **classes,
        "resized_from": request.image.resized_from,
        "converted_from": request.image.converted_from,
        "round_trip": trip,
        "shape": list(facts.latent_shape),
        "latents": latents.to_json(facts.latent_shape),
    }
    return JSONResponse(body)


async def _painted(
    house: House, view: JobView, request: DecodeRequest | InterpolateRequest, facts: ModelFacts | None
) -> dict[str, Any]:
    made = await house.queue.generated(view.job_id)
    size = {"width": made.width, "height": made.height}
    images: list[dict[str, Any]] = [
        {"png_base64": base64.b64encode(picture).decode(), **size} for picture in view.pictures
    ]
    body = {"job_id": view.job_id, "model": request.model, **class_fields(request.class_index, facts)}
    if isinstance(request, DecodeRequest):
        told = {"guidance", "denoise", "attention_temperature", "latents_sha256"}
        return body | request.model_dump(include=told) | {"images": images}
    shares = [{"at": index / (request.n - 1)} for index in range(request.n)]
    resized = {"resized_from": [end.resized_from for end in request.ends]}
    return (
        body | {"n": request.n} | resized | {"images": [at | image for at, image in zip(shares, images, strict=True)]}
    )


def _verified(job_id: str, request: VerifyRequest, found: VerifyResult) -> dict[str, Any]:
    reason = _reason(request, found)
    return {
        "job_id": job_id,
        "model": request.model,
        "verified": reason is None,
        "reason": reason,
        "max_difference": found.max_difference,
        "differing_values": found.differing_values,
        "model_digest": request.model_digest,
        "claim": request.claim.model_dump(mode="json"),
    }


def _reason(request: VerifyRequest, found: VerifyResult) -> str | None:
    """Why a picture is not what it claims; None where it is."""
    if found.max_difference == 0:
        return None
    same = request.claim.model_digest == request.model_digest
    other = "" if same else f"it was made with other weights ({request.claim.model_digest[:12]}…); "
    if found.max_difference is None:
        return (
            f"{other}it has {request.width} x {request.height} pixels, its request gives {found.width} x {found.height}"
        )
    differ = f"{found.differing_values} of its values differ, by up to {found.max_difference} of 255"
    return (
        f"{other}{differ}" if found.max_difference > 1 or not same else f"{differ}: another kind of device may round so"
    )
