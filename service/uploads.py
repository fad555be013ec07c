"""Uploaded bytes as images of a model's size and colours.

Owns which types are read and how a file is refused. Knows nothing of requests or scores.
"""

import io
from dataclasses import dataclass

from PIL import Image

from pictures.fitting import EMPTY, Fitted, Shape, UnfitImage, decode, fitted, refusal
from service.errors import InvalidInput
from worker.contract import IMAGE_FORMATS

MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp")


@dataclass(frozen=True)
class Upload:
    """One image file as it came: `field` names it in an error."""

    field: str
    content: bytes


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
    return fitted(decoded(upload, max_pixels), shape)
