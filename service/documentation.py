"""What OpenAPI says of answers that the routes build by hand.

Owns descriptions and schemas for people. Knows nothing of how an answer is made.
"""

from typing import Any

from service.errors import PROBLEM_TYPE, STATUS
from service.latent_files import SAFETENSORS
from service.score_body import FORM
from service.uploads import MEDIA_TYPES
from worker.contract import ModelFacts

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "in": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
OBJECT: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    titles = {status: [title for each, title in STATUS.values() if each == status] for status in statuses}
    return {
        status: {"description": " / ".join(titles[status]), "content": {PROBLEM_TYPE: {"schema": PROBLEM_SCHEMA}}}
        for status in statuses
    }


def _model_schema() -> dict[str, Any]:
    """The facts of a model; all but the name are known once a worker has told them."""
    schema = ModelFacts.model_json_schema()
    parts = schema.pop("$defs")
    workers = {"type": "object", "additionalProperties": {"type": "integer"}, "description": "By kind of work"}
    properties = schema["properties"] | {"defaults": parts["ModelDefaults"], "live_workers": workers}
    return schema | {
        "description": "The model as its workers describe it, and what its card says",
        "properties": properties,
        "required": ["name", "live_workers"],
    }


KEYED_RESPONSES = _problems(401)
ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"description": "Not there yet: see `Location`", "content": OBJECT}}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture, or JSON with every picture", "content": {"image/png": BINARY, **OBJECT}}
}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already"}}
GENERATE_RESPONSES = {**PICTURE, **ACCEPTED, **NOT_MODIFIED, **_problems(400, 404, 406, 408, 409, 422, 429, 500, 503)}
UPLOADED = {**ACCEPTED, **NOT_MODIFIED, **_problems(400, 404, 406, 408, 409, 413, 415, 422, 429, 500, 503)}
SCORE_RESPONSES = {
    200: {
        "description": "A score per image, in order; or a heat map of one",
        "content": {**OBJECT, "image/png": BINARY},
    },
    **UPLOADED,
}
ENCODE_RESPONSES = {
    200: {"description": "The latents, and their round trip", "content": {**OBJECT, SAFETENSORS: BINARY}},
    **UPLOADED,
}
SHEET_RESPONSES: dict[int | str, dict[str, Any]] = {**PICTURE, **UPLOADED}
VERIFY_RESPONSES = {200: {"description": "The verdict", "content": OBJECT}, **UPLOADED}
JOB_RESPONSES = {200: {"description": "The job", "content": OBJECT}, **_problems(404, 422, 503)}
CANCEL_RESPONSES = {
    200: {"description": "The job, cancelled", "content": OBJECT},
    202: {"description": "The job, to be cancelled within a flow block, or 64 passes of a score", "content": OBJECT},
    **_problems(400, 404, 409, 422, 503),
}
EVENTS_RESPONSES = _problems(400, 404, 422, 503)
RESULT_RESPONSES = {
    200: {"description": "As the POST", "content": {"image/png": BINARY, SAFETENSORS: BINARY, **OBJECT}},
    **NOT_MODIFIED,
    **_problems(400, 404, 406, 409, 422, 500, 503),
}
MODEL_RESPONSES = {
    200: {"description": "The model", "content": {"application/json": {"schema": _model_schema()}}},
    **_problems(404, 422, 503),
}
LIVE_RESPONSES = _problems(422)
METRICS_RESPONSES = _problems(404, 422)
READY_RESPONSES = {200: {"description": "As it is", "content": OBJECT}, **_problems(422, 503)}


def _form(fewest: int, most: int) -> dict[str, Any]:
    """A form of so many image files."""
    files = {"type": "array", "minItems": fewest, "maxItems": most, "items": {"type": "string", "format": "binary"}}
    schema = {"type": "object", "required": ["image"], "additionalProperties": False, "properties": {"image": files}}
    # Each file says its type, one of those that are read alone.
    return {"schema": schema, "encoding": {"image": {"contentType": ", ".join(MEDIA_TYPES)}}}


def _body(**content: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


SCORE_BODY = _body(**dict.fromkeys(MEDIA_TYPES, BINARY), **{FORM: _form(1, 64)})
IMAGE_BODY = _body(**dict.fromkeys(MEDIA_TYPES, BINARY), **{FORM: _form(1, 1)})
IMAGES_BODY = _body(**{FORM: _form(2, 2)})
PNG_BODY = _body(**{"image/png": BINARY, FORM: _form(1, 1)})
DECODE_BODY = _body(
    **{
        SAFETENSORS: {"schema": {"type": "string", "format": "binary", "description": "F32 tensor `latents`, (T, D)"}},
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["latents"],
                "properties": {
                    "latents": {
                        "type": "array",
                        "description": "T lists of D numbers",
                        "items": {"type": "array", "items": {"type": "number"}},
                    },
                    "model_digest": {"type": ["string", "null"], "description": "of the weights they belong to"},
                },
            }
        },
    }
)
