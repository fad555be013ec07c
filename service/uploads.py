"""Uploaded bytes as images of a model's size and colours.

Owns which formats are read and how a file is refused. Knows nothing of requests or scores.
"""

import hashlib
import io
from dataclasses import dataclass

from PIL import Image

from pictures.fitting import EMPTY, Shape, UnfitImage, decode, fit, refusal
from service.errors import InvalidInput
from worker.contract import IMAGE_FORMATS, ScoreInput

LOSSY_FORMATS = ("JPEG", "WEBP")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp")


@dataclass(frozen=True)
class Upload:
    """One image file as it came: `field` names it in an error."""

    field: str
    content: bytes


@dataclass(frozen=True)
class Fitted:
    """An image fitted to a model: its pixels (C, H, W) as bytes, and what was done to it."""

    pixels: bytes
    facts: ScoreInput


def decoded(upload: Upload, max_pixels: int, formats: tuple[str, ...] = IMAGE_FORMATS) -> Image.Image:
    """The image of an upload in one of these formats.

    Raises:
        InvalidInput: Empty, no image of such a format, damaged, or more than `max_pixels` pixels
            (refused from its header, before decoding).
    """
    if not upload.content:
        raise InvalidInput.of(upload.field, "body", f"{EMPTY}; send the bytes of one image")
    try:
        return decode(io.BytesIO(upload.content), max_pixels, formats)
    except UnfitImage as error:
        raise InvalidInput.of(upload.field, "body", refusal(error, max_pixels, formats)) from error


def fit_upload(upload: Upload, shape: Shape, max_pixels: int) -> Fitted:
    """Decode an upload and fit it to a model; see `pictures.fitting`. Raises as `decoded`."""
    image = decoded(upload, max_pixels)
    pixels = fit(image, shape)
    facts = ScoreInput(
        sha256=hashlib.sha256(pixels).hexdigest(),
        resized_from=None if image.size == (shape.side, shape.side) else image.size,
        converted_from=None if image.mode == shape.mode else image.mode,
        lossy_format=image.format if image.format in LOSSY_FORMATS else None,
    )
    return Fitted(pixels, facts)
