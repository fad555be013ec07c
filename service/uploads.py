"""Uploaded bytes as images of a model's size and colours.

Owns which formats are read, what is refused before decoding and what is converted. Knows
nothing of requests or scores.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageOps

from service.errors import InvalidInput
from worker.contract import ScoreInput

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp")
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True)
class Upload:
    """One image file as it came: `field` names it in an error."""

    field: str
    content: bytes


@dataclass(frozen=True)
class Shape:
    """What a model takes: square images of `side` pixels in `channels` (1 grey, 3 RGB)."""

    side: int
    channels: int

    @property
    def mode(self) -> str:
        """Pillow's name for the colours."""
        return "L" if self.channels == 1 else "RGB"


@dataclass(frozen=True)
class Fitted:
    """An image fitted to a model: its pixels (C, H, W) as bytes, and what was done to it."""

    pixels: bytes
    facts: ScoreInput


def fit(upload: Upload, shape: Shape, max_pixels: int) -> Fitted:
    """Decode an upload and fit it: short side resized, centre cropped, colours converted.

    Transparent parts show a black ground; 16-bit values keep their upper 8 bits; of an
    animation the first frame counts.

    Raises:
        InvalidInput: No image of a format we read, damaged, or more than `max_pixels` pixels
            (refused from its header, before decoding).
    """
    image = _decode(upload, max_pixels)
    size, mode = image.size, image.mode
    square = ImageOps.fit(_convert(image, shape.mode), (shape.side, shape.side), Image.Resampling.LANCZOS)
    planes = b"".join(band.tobytes() for band in square.split())
    facts = ScoreInput(
        sha256=hashlib.sha256(planes).hexdigest(),
        resized_from=None if size == square.size else size,
        converted_from=None if mode == shape.mode else mode,
    )
    return Fitted(planes, facts)


def _decode(upload: Upload, max_pixels: int) -> Image.Image:
    """The upright image, fully decoded."""
    if not upload.content:
        raise InvalidInput.of(upload.field, "body", "is empty; send the bytes of one image")
    try:
        with warnings.catch_warnings():
            # Pillow's own pixel limit only warns; ours is checked below, before any decoding.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(upload.content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large(upload, "its header claims more", max_pixels) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidInput.of(
            upload.field, "body", f"is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image"
        ) from error
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(upload, f"it has {width} x {height}", max_pixels)
    try:
        return ImageOps.exif_transpose(image)
    # Decoders fail in many ways on damaged files; each of these is the file's fault.
    except (OSError, ValueError, SyntaxError, IndexError, EOFError, Image.DecompressionBombError) as error:
        raise InvalidInput.of(upload.field, "body", f"is a damaged {image.format} image") from error


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """The image in `mode`, without what Pillow would clip or leave behind transparency."""
    if image.mode in SIXTEEN_BIT_MODES:
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert(mode)


def _too_large(upload: Upload, found: str, max_pixels: int) -> InvalidInput:
    return InvalidInput.of(upload.field, "body", f"may have at most {max_pixels} pixels, {found}")
