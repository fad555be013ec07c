"""A PNG of ours, and what it claims to be.

Owns the reading of its text chunk and its pixels. Knows nothing of whether the claim is true.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

from PIL import Image
from pydantic import ValidationError

from pictures.fitting import UnfitImage, decode
from pictures.origin import REQUEST_CHUNK
from service.errors import InvalidInput
from service.uploads import Upload
from worker.contract import NO_CLASS, GenerateRequest

MODES = {"L": 1, "RGB": 3}
# What the chunk says for people alone.
ASIDE = ("class", "class_name")


@dataclass(frozen=True)
class Claim:
    """The request that a picture says it came from, and its pixels (C, H, W)."""

    request: GenerateRequest
    pixels: bytes
    width: int
    height: int
    channels: int

    @property
    def sha256(self) -> str:
        """Digest of the pixels."""
        return hashlib.sha256(self.pixels).hexdigest()


def read_claim(upload: Upload, max_pixels: int) -> Claim:
    """The claim of an uploaded PNG.

    Raises:
        InvalidInput: It is no PNG that can be read, has more than `max_pixels` pixels, or claims nothing
            that could be recomputed.
    """
    try:
        image = decode(io.BytesIO(upload.content), max_pixels, ("PNG",))
    except UnfitImage as error:
        raise InvalidInput.of(upload.field, "body", f"is no PNG that can be read: {error}"[:300]) from error
    if image.mode not in MODES:
        raise InvalidInput.of(upload.field, "body", f"has colours {image.mode}; pictures of ours are grey or RGB")
    pixels = b"".join(band.tobytes() for band in image.split())
    return Claim(_request(upload.field, image), pixels, *image.size, MODES[image.mode])


def _request(field: str, image: Image.Image) -> GenerateRequest:
    words = image.info.get(REQUEST_CHUNK)
    if not isinstance(words, str):
        raise InvalidInput.of(field, "body", f"has no text chunk {REQUEST_CHUNK!r}: it says nothing of how it was made")
    try:
        told: Any = json.loads(words)
    except (ValueError, RecursionError) as error:
        raise InvalidInput.of(field, "body", f"has a text chunk {REQUEST_CHUNK!r} that is no JSON") from error
    if not isinstance(told, dict):
        raise InvalidInput.of(field, "body", f"has a text chunk {REQUEST_CHUNK!r} that is no object")
    if "seed" not in told:
        raise InvalidInput.of(field, "body", "was made from latents or images, which it does not hold; only seeds do")
    class_index = told.get("class")
    try:
        return GenerateRequest(
            **{name: value for name, value in told.items() if name not in ASIDE},
            class_index=NO_CLASS if class_index is None else class_index,
        )
    except (ValidationError, TypeError) as error:
        reason = error.errors(include_input=False)[0]["loc"] if isinstance(error, ValidationError) else error
        raise InvalidInput.of(field, "body", f"claims what no request could: {reason}"[:300]) from error
