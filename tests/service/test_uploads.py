"""Owns the laws of fitting an image to a model: its colours, its size, and what is said of both."""

import struct

import pytest
from PIL import Image

from pictures.fitting import Fitted, Shape
from service.uploads import Upload, fit_upload
from tests.service.image_files import COLOURS, GREY, PALETTE, encoded, noise, plain, png
from worker.contract import ScoreInput

MAX_PIXELS = 100_000
SIXTEEN_BIT = (0, 1, 255, 256, 257, 511, 512, 32767, 32768, 65279, 65280, 65535, 4096, 4095, 777, 9000)


def fitted(content: bytes, side: int, channels: int = 1) -> Fitted:
    """An upload fitted to a model of this size."""
    return fit_upload(Upload("body", content), Shape(side, channels), MAX_PIXELS)


def pixels(content: bytes, side: int, channels: int = 1) -> list[int]:
    """The values of an upload fitted to a model of this size."""
    return list(fitted(content, side, channels).pixels)


def said(content: bytes, side: int, channels: int = 1) -> ScoreInput:
    """What is said of an upload fitted to a model of this size."""
    return ScoreInput.of(fitted(content, side, channels))


def sixteen_bit_grey() -> bytes:
    """A 4 x 4 grey PNG of 16 bits a pixel."""
    rows = (struct.pack(">x4H", *SIXTEEN_BIT[start : start + 4]) for start in range(0, 16, 4))
    return png(4, 4, 16, GREY, b"".join(rows))


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "WEBP"])
def test_an_image_of_the_models_size_and_colours_passes_unchanged(file_format: str) -> None:
    image = noise((8, 8))
    content = encoded(image, file_format, **({"lossless": True} if file_format == "WEBP" else {}))
    planes = b"".join(band.tobytes() for band in image.split())
    assert fitted(content, 8, channels=3).pixels == planes


def test_the_colours_lie_one_plane_after_the_other() -> None:
    image = plain("RGB", (2, 2), (1, 2, 3))
    image.putpixel((1, 0), (4, 5, 6))
    assert pixels(encoded(image, "PNG"), 2, channels=3) == [1, 4, 1, 1, 2, 5, 2, 2, 3, 6, 3, 3]


def test_a_photograph_keeps_its_colours_nearly() -> None:
    content = encoded(plain("RGB", (8, 8), (200, 100, 50)), "JPEG", quality=95)
    assert pixels(content, 8, channels=3) == pytest.approx([200] * 64 + [100] * 64 + [50] * 64, abs=2)


def test_sixteen_bit_grey_keeps_its_upper_eight_bits() -> None:
    assert pixels(sixteen_bit_grey(), 4) == [value >> 8 for value in SIXTEEN_BIT]


def test_sixteen_bit_grey_becomes_three_equal_planes() -> None:
    assert pixels(sixteen_bit_grey(), 4, channels=3) == [value >> 8 for value in SIXTEEN_BIT] * 3


def test_sixteen_bit_colours_keep_their_upper_eight_bits() -> None:
    content = png(1, 1, 16, COLOURS, struct.pack(">x3H", 511, 512, 65535))
    assert pixels(content, 1, channels=3) == [1, 2, 255]


def test_one_bit_is_black_or_white() -> None:
    assert pixels(png(2, 2, 1, GREY, b"\0\x40\0\x80"), 2) == [0, 255, 255, 0]


def test_transparent_pixels_show_a_black_ground() -> None:
    image = plain("RGBA", (2, 1), (200, 100, 50, 255))
    image.putpixel((1, 0), (200, 100, 50, 0))
    image = image.resize((2, 2), Image.Resampling.NEAREST)
    assert pixels(encoded(image, "PNG"), 2, channels=3) == [200, 0] * 2 + [100, 0] * 2 + [50, 0] * 2


def test_half_transparent_pixels_are_half_as_bright() -> None:
    assert pixels(encoded(plain("LA", (1, 1), (200, 128)), "PNG"), 1) == pytest.approx([100], abs=1)


def test_a_transparent_palette_entry_shows_a_black_ground() -> None:
    palette, opacity = (b"PLTE", bytes([200, 200, 200, 90, 90, 90])), (b"tRNS", b"\x00")
    assert pixels(png(2, 2, 8, PALETTE, b"\0\0\1\0\1\0", palette, opacity), 2) == [0, 90, 90, 0]


def test_a_transparent_colour_shows_a_black_ground() -> None:
    rows = b"\0" + bytes([9, 9, 9, 7, 7, 7])
    assert pixels(png(2, 2, 8, COLOURS, 2 * rows, (b"tRNS", struct.pack(">3H", 9, 9, 9))), 2) == [0, 7, 0, 7]


def test_a_cmyk_photograph_is_read_as_colours() -> None:
    content = encoded(plain("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG")
    assert pixels(content, 8, channels=3) == pytest.approx([0] * 192, abs=2)


def test_a_cmyk_photograph_is_read_as_grey() -> None:
    content = encoded(plain("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")
    assert pixels(content, 8) == pytest.approx([255] * 64, abs=2)


def test_colours_become_grey_by_their_luminance() -> None:
    assert pixels(encoded(plain("RGB", (1, 1), (255, 0, 0)), "PNG"), 1) == [76]


def test_grey_becomes_three_equal_planes() -> None:
    assert pixels(encoded(plain("L", (2, 2), 7), "PNG"), 2, channels=3) == [7] * 12


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2), (200, 300)])
def test_a_picture_of_any_shape_is_made_square(size: tuple[int, int]) -> None:
    assert pixels(encoded(plain("L", size, 9), "PNG"), 28) == [9] * 784


def test_the_centre_is_what_is_kept() -> None:
    image = plain("L", (4, 12), 0)
    image.paste(5, (0, 4, 4, 8))
    assert pixels(encoded(image, "PNG"), 4) == [5] * 16


@pytest.mark.parametrize(("orientation", "upright"), [(1, [1, 2]), (2, [2, 1]), (3, [2, 1]), (4, [1, 2])])
def test_a_photograph_is_turned_as_its_exif_says(orientation: int, upright: list[int]) -> None:
    image, exif = plain("L", (2, 1), 1), Image.Exif()
    image.putpixel((1, 0), 2)
    exif[0x0112] = orientation
    assert pixels(encoded(image.resize((2, 2), Image.Resampling.NEAREST), "PNG", exif=exif), 2) == upright * 2


def test_the_size_of_a_turned_photograph_is_its_upright_size() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert said(encoded(plain("L", (30, 20), 0), "JPEG", exif=exif), 28).resized_from == (20, 30)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(file_format: str) -> None:
    first, second = plain("RGB", (8, 8), (10, 20, 30)), plain("RGB", (8, 8), (200, 200, 200))
    options = {"lossless": True} if file_format == "WEBP" else {}
    content = encoded(first, file_format, save_all=True, append_images=[second], **options)
    assert pixels(content, 8, channels=3) == [10] * 64 + [20] * 64 + [30] * 64


def test_another_size_is_said() -> None:
    assert said(encoded(plain("L", (30, 20), 0), "PNG"), 28).resized_from == (30, 20)


def test_the_models_size_is_not_said() -> None:
    assert said(encoded(plain("RGB", (28, 28), 0), "PNG"), 28).resized_from is None


@pytest.mark.parametrize(
    ("mode", "channels"), [("RGB", 1), ("L", 3), ("RGBA", 3), ("LA", 1), ("P", 3), ("1", 1), ("I;16", 1)]
)
def test_other_colours_are_said(mode: str, channels: int) -> None:
    assert said(encoded(plain(mode, (28, 28), 0), "PNG"), 28, channels).converted_from == mode


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_the_models_colours_are_not_said(mode: str, channels: int) -> None:
    assert said(encoded(plain(mode, (4, 4), 0), "PNG"), 28, channels).converted_from is None


def test_the_same_image_has_the_same_digest_whatever_its_file() -> None:
    image = noise((8, 8)).convert("L")
    assert said(encoded(image, "PNG"), 8).sha256 == said(encoded(image, "BMP"), 8).sha256


def test_another_image_has_another_digest() -> None:
    assert said(encoded(noise((8, 8), 1), "PNG"), 8).sha256 != said(encoded(noise((8, 8), 2), "PNG"), 8).sha256
