"""An image file as the pixels that a model takes.

Owns decoding, what counts as damaged, the conversion of colours, the fit, and the account of what was done. Knows
nothing of where a file comes from.
"""

import hashlib
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
TRANSPARENT_MODES = ("RGBA", "LA")
UNRESIZABLE_MODES = {"P": "RGB", "1": "L"}
# What Pillow's readers raise on a damaged file, by its own list; RuntimeError is AVIF's.
DAMAGED = (OSError, ValueError, SyntaxError, IndexError, TypeError, KeyError, EOFError, RuntimeError, struct.error)

EMPTY = "is empty"
LOSSY_FORMATS = ("JPEG", "WEBP")


class UnfitImage(ValueError):
    """A file that cannot become pixels."""


class NoImage(UnfitImage):
    """Its bytes are no image of a format that is read."""


class DamagedImage(UnfitImage):
    """It begins like an image of `format_name`, and breaks off or contradicts itself."""

    def __init__(self, format_name: str | None, reason: Exception) -> None:
        super().__init__(f"damaged {format_name}: {reason}")
        self.format_name = format_name


class TooManyPixels(UnfitImage):
    """Its header claims more pixels than are allowed; it was not decoded."""


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
    """An image fitted to a model, and what was done to it.

    Attributes:
        pixels: (C, H, W), one byte each.
        resized_from: Width and height, where they were not the model's.
        converted_from: Pillow's mode, where it was not the model's.
        lossy_format: The file's format, where it may have changed pixels.
    """

    pixels: bytes
    resized_from: tuple[int, int] | None
    converted_from: str | None
    lossy_format: str | None

    @property
    def sha256(self) -> str:
        """Digest of the pixels."""
        return hashlib.sha256(self.pixels).hexdigest()


def decode(
    source: Path | BinaryIO, max_pixels: int | None = None, formats: tuple[str, ...] | None = None
) -> Image.Image:
    """The image of a file, upright; of an animation the first frame.

    Args:
        source: A path or an open file.
        max_pixels: Refuse more, from the header, before decoding; None = Pillow's own limit.
        formats: Pillow's names of the formats to read; None = all.

    Raises:
        NoImage, DamagedImage, TooManyPixels: As they say.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own limit first only warns; ours is checked below, before any decoding.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(source, formats=formats)
    except Image.DecompressionBombError as error:
        raise TooManyPixels("its header claims more") from error
    except DAMAGED as error:
        raise NoImage(str(error)) from error
    with image:
        width, height = image.size
        if max_pixels is not None and width * height > max_pixels:
            raise TooManyPixels(f"it has {width} x {height}")
        try:
            image.load()
            # In place: a copy of a large image is large.
            ImageOps.exif_transpose(image, in_place=True)
            return image
        except (*DAMAGED, Image.DecompressionBombError) as error:
            raise DamagedImage(image.format, error) from error


def refusal(error: UnfitImage, max_pixels: int, formats: tuple[str, ...]) -> str:
    """Why a file that `decode` refused cannot be taken, as its sender is told."""
    if isinstance(error, TooManyPixels):
        return f"may have at most {max_pixels} pixels, {error}"
    if isinstance(error, DamagedImage):
        return f"is a damaged {error.format_name} image"
    return f"is no {in_words(formats)} image"


def in_words(names: tuple[str, ...]) -> str:
    """Names as a choice: `PNG, BMP or JPEG`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def fitted(image: Image.Image, shape: Shape) -> Fitted:
    """What `decode` gave, as a model takes it; see `fit`."""
    return Fitted(
        pixels=fit(image, shape),
        resized_from=None if image.size == (shape.side, shape.side) else image.size,
        converted_from=None if image.mode == shape.mode else image.mode,
        lossy_format=image.format if image.format in LOSSY_FORMATS else None,
    )


def fit(image: Image.Image, shape: Shape) -> bytes:
    """Pixels (C, H, W), one byte each: short side resized, centre cropped, colours converted.

    Transparent parts show a black ground; 16-bit values keep their upper 8 bits.
    """
    square = ImageOps.fit(_resizable(image), (shape.side, shape.side), Image.Resampling.LANCZOS)
    return b"".join(band.tobytes() for band in _shown(square, shape.mode).split())


def _resizable(image: Image.Image) -> Image.Image:
    """The image with its transparency as a channel and no palette, and as it is where it can be: it may be large."""
    if image.mode in SIXTEEN_BIT_MODES:
        return image if image.mode == "I" else image.convert("I")
    if image.has_transparency_data:
        return image if image.mode in TRANSPARENT_MODES else image.convert("RGBA")
    return image.convert(UNRESIZABLE_MODES[image.mode]) if image.mode in UNRESIZABLE_MODES else image


def _shown(square: Image.Image, mode: str) -> Image.Image:
    """The image in `mode`, without what Pillow would clip or leave behind transparency."""
    if square.mode == "I":
        square = square.point(lambda value: value * (1 / 256)).convert("L")
    if square.mode in TRANSPARENT_MODES:
        square = Image.alpha_composite(Image.new("RGBA", square.size, (0, 0, 0, 255)), square.convert("RGBA"))
    return square.convert(mode)
