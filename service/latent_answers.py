"""Results of the way there and back as HTTP answers.

Owns their bodies. Knows nothing of routes or of headers.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi.responses import JSONResponse, Response

from service.content_negotiation import JSON, PNG
from service.errors import UnknownJob
from service.house import House
from service.job_record import JobView
from service.latent_files import SAFETENSORS, Latents
from worker.contract import (
    NO_CLASS,
    DecodeRequest,
    EncodeRequest,
    EncodeResult,
    GenerateResult,
    InterpolateRequest,
    ModelFacts,
    VerifyRequest,
    VerifyResult,
    class_fields,
)

LONGEST_NAME = 100  # of a class, in a reason
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
        return JSONResponse(_verified(view.job_id, request, await house.queue.result(view.job_id, VerifyResult)))
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
    trip = (await house.queue.result(view.job_id, EncodeResult)).model_dump(mode="json")
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
    made = await house.queue.result(view.job_id, GenerateResult)
    size = {"width": made.width, "height": made.height}
    images: list[dict[str, Any]] = [
        {"png_base64": base64.b64encode(picture).decode(), **size} for picture in view.pictures
    ]
    body = {"job_id": view.job_id, "model": request.model, **class_fields(request.class_index, facts)}
    if isinstance(request, DecodeRequest):
        told = {"guidance", "denoise", "attention_temperature", "latents_sha256"}
        return body | request.model_dump(include=told) | {"images": images}
    shares = [{"at": index / (request.n - 1)} for index in range(request.n)]
    fitted = {name: [getattr(end, name) for end in request.ends] for name in ("resized_from", "converted_from")}
    return body | {"n": request.n} | fitted | {"images": [at | image for at, image in zip(shares, images, strict=True)]}


def _verified(job_id: str, request: VerifyRequest, found: VerifyResult) -> dict[str, Any]:
    reasons = list(_reasons(request, found))
    return {
        "job_id": job_id,
        "model": request.model,
        "verified": not reasons,
        "reason": "; ".join(reasons) or None,
        "same_weights": _has_same_weights(request),
        "max_difference": found.max_difference,
        "differing_values": found.differing_values,
        "model_digest": request.model_digest,
        "claim": request.claim.model_dump(mode="json") | {"class_name": request.class_name},
    }


def _reasons(request: VerifyRequest, found: VerifyResult) -> Iterator[str]:
    """Why a picture is not what it claims; none where it is."""
    if not _has_same_weights(request):
        yield f"it says that it was made with other weights ({request.claim.model_digest[:12]}…) than are here"
    if request.class_name != found.class_name:
        yield (
            f"it calls its class {_quoted(request.class_name)}, "
            f"and class {request.claim.class_index} of {request.model} is {_quoted(found.class_name)}"
            if request.claim.class_index != NO_CLASS
            else f"it calls its class {_quoted(request.class_name)}, and has none"
        )
    if found.width is None or found.height is None:
        yield f"its request gives no picture: it overflows float32 at guidance {request.claim.guidance:g}"
    elif found.max_difference is None:
        ours = _size(found.width, found.height, found.channels)
        yield f"it has {_size(request.width, request.height, request.channels)}, its request gives {ours}"
    elif found.max_difference > 0:
        hint = ": another kind of device may round so" if found.max_difference == 1 else ""
        differ = (
            "1 of its values differs"
            if found.differing_values == 1
            else f"{found.differing_values} of its values differ"
        )
        yield f"{differ}, by up to {found.max_difference} of 255{hint}"


def _has_same_weights(request: VerifyRequest) -> bool:
    return request.claim.model_digest == request.model_digest


def _size(width: int, height: int, channels: int | None) -> str:
    return f"{width} x {height} pixels {'in grey' if channels == 1 else 'in RGB'}"


def _quoted(name: str | None) -> str:
    return "nothing" if name is None else repr(name[:LONGEST_NAME])
