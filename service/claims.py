"""A PNG of ours, and what it claims to be.

Owns the reading of its text chunk and its pixels. Knows nothing of whether the claim is true.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from PIL import Image
from pydantic import ConfigDict, Field, ValidationError, WrapValidator

from pictures.origin import REQUEST_CHUNK, is_written_as_ours, request_chunks
from service.errors import InvalidInput
from service.uploads import Upload, decoded
from worker.contract import NO_CLASS, GenerateRequest, plain_words

MODES = {"L": 1, "RGB": 3}
LONGEST_NAME, LONGEST_WORD, LONGEST_REASON = 1000, 60, 300
NO_DIGEST = "must be 64 hexadecimal digits"


@dataclass(frozen=True)
class Claim:
    """What a picture says it came from, and its pixels (C, H, W).

    Attributes:
        field: Names the picture in an error.
        request: What it was made by.
        class_name: How it calls the class of that; None for no class.
    """

    field: str
    request: GenerateRequest
    class_name: str | None
    pixels: bytes
    width: int
    height: int
    channels: int

    @property
    def sha256(self) -> str:
        """Digest of the pixels."""
        return hashlib.sha256(self.pixels).hexdigest()


def _or_none(told: object, check: Callable[[object], int]) -> int:
    return NO_CLASS if told is None else check(told)


class _Words(GenerateRequest):
    """A text chunk as `worker.images` writes it, every word of the type that it is written as."""

    model_config = ConfigDict(strict=True)

    model_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    class_index: Annotated[int, Field(alias="class", ge=0), WrapValidator(_or_none)]
    class_name: Annotated[str | None, Field(max_length=LONGEST_NAME)]

    def request(self) -> GenerateRequest:
        """Without what is said for people."""
        return GenerateRequest(**self.model_dump(exclude={"class_name"}))


# What pictures of ours say that were not made from a seed.
MADE_FROM = frozenset({"latents_sha256", "between"})
NAMES = frozenset(field.alias or name for name, field in _Words.model_fields.items())


class _SaidTwice(ValueError):
    """A name has two values; the message is the name."""


def read_claim(upload: Upload, max_pixels: int) -> Claim:
    """The claim of an uploaded PNG.

    Raises:
        InvalidInput: It is no PNG that can be read, has more than `max_pixels` pixels, or claims nothing
            that could be recomputed.
    """
    image = decoded(upload, max_pixels, ("PNG",))
    if image.mode not in MODES:
        raise InvalidInput.of(upload.field, "body", f"has colours {image.mode}; pictures of ours are grey or RGB")
    if request_chunks(upload.content) > 1:
        raise InvalidInput.of(upload.field, "body", f"has more than one text chunk {REQUEST_CHUNK!r}")
    if not is_written_as_ours(upload.content):
        reason = "is not written as ours are: IHDR, texts (tEXt, iTXt), IDAT and IEND in this order, and nothing else"
        raise InvalidInput.of(upload.field, "body", reason)
    words, pixels = _words(upload.field, image), b"".join(band.tobytes() for band in image.split())
    return Claim(upload.field, words.request(), words.class_name, pixels, *image.size, MODES[image.mode])


def _words(field: str, image: Image.Image) -> _Words:
    text = image.info.get(REQUEST_CHUNK)
    if not isinstance(text, str):
        raise InvalidInput.of(field, "body", f"has no text chunk {REQUEST_CHUNK!r}: it says nothing of how it was made")
    chunk = f"has a text chunk {REQUEST_CHUNK!r}"
    try:
        told: Any = json.loads(text, object_pairs_hook=_said_once)
    except _SaidTwice as error:
        raise InvalidInput.of(field, "body", f"{chunk} that says {str(error)[:LONGEST_WORD]!r} twice") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput.of(field, "body", f"{chunk} that is no JSON") from error
    if not isinstance(told, dict):
        raise InvalidInput.of(field, "body", f"{chunk} that is no object")
    if "seed" not in told and not MADE_FROM.isdisjoint(told):
        raise InvalidInput.of(
            field, "body", "was made from latents or images, not from a seed: nothing in it says which"
        )
    for name in told:
        if name not in NAMES:
            raise InvalidInput.of(field, "body", f"claims what no request could: {name[:LONGEST_WORD]!r} is unknown")
    try:
        return _Words.model_validate(told)
    except ValidationError as error:
        reason = f"claims what no request could: {_reason(error)}"
        raise InvalidInput.of(field, "body", reason[:LONGEST_REASON]) from error


def _said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _SaidTwice(name)
        found[name] = value
    return found


def _reason(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)[0]
    words = NO_DIGEST if found["type"] == "string_pattern_mismatch" else plain_words(found)
    return f"{'.'.join(str(part) for part in found['loc'])}: {words}"
