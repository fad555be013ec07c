"""Owns the laws of refusing uploads: what is no image, damaged or too large, and nothing but `InvalidInput`."""

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from PIL import Image

from pictures.fitting import Shape
from service.errors import InvalidInput
from service.uploads import Upload, fit_upload
from tests.service.image_files import COLOURS, GREY, encoded, noise, plain, png, png_around

MAX_PIXELS = 10_000
SHAPE = Shape(28, 1)
NO_PIXELS = (b"IDAT", b"this is not zlib")
EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF[0x010E] = "a description"
SOUND = {
    "png": encoded(noise((20, 15)), "PNG", exif=EXIF),
    "palette png": encoded(noise((20, 15)).convert("P"), "PNG", transparency=3),
    "one-bit png": encoded(noise((20, 15)).convert("1"), "PNG"),
    "animated png": encoded(noise((9, 9)), "PNG", save_all=True, append_images=[noise((9, 9), 1)]),
    "jpeg": encoded(noise((9, 9)), "JPEG", exif=EXIF),
    "progressive jpeg": encoded(noise((20, 15)), "JPEG", progressive=True),
    "cmyk jpeg": encoded(noise((20, 15)).convert("CMYK"), "JPEG"),
    "webp": encoded(noise((20, 15)), "WEBP", exif=EXIF),
    "animated webp": encoded(noise((9, 9)), "WEBP", save_all=True, append_images=[noise((9, 9), 1)]),
    "bmp": encoded(noise((20, 15)), "BMP"),
    "palette bmp": encoded(noise((20, 15)).convert("P"), "BMP"),
}


def refusal(content: bytes) -> InvalidInput:
    """The error that an upload ends in."""
    with pytest.raises(InvalidInput) as caught:
        fit_upload(Upload("image[3]", content), SHAPE, MAX_PIXELS)
    return caught.value


def truncated(content: bytes, source: random.Random) -> bytes:
    """The beginning of a file."""
    return content[: source.randrange(len(content))]


def flipped(content: bytes, source: random.Random) -> bytes:
    """A file with a few bytes replaced, most of them near its beginning."""
    damaged = bytearray(content)
    for _ in range(source.randrange(1, 9)):
        damaged[source.randrange(source.choice((64, len(damaged))))] = source.choice((0, 1, 255, source.randrange(256)))
    return bytes(damaged)


def doubled(content: bytes, source: random.Random) -> bytes:
    """A file of which a part comes twice."""
    start = source.randrange(len(content))
    end = start + source.randrange(1, 100)
    return content[:end] + content[start:]


def shortened(content: bytes, source: random.Random) -> bytes:
    """A file of which a part is missing."""
    start = source.randrange(len(content))
    return content[:start] + content[start + source.randrange(1, 100) :]


def test_an_empty_body_is_refused() -> None:
    assert refusal(b"").detail == "image[3]: is empty; send the bytes of one image"


@pytest.mark.parametrize("content", [b"seven", b"\0" * 1000, b"<svg/>", SOUND["png"][:8], SOUND["webp"][:12], b"BM"])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    assert refusal(content).detail == "image[3]: is no PNG, JPEG, WEBP or BMP image"


@pytest.mark.parametrize("file_format", ["GIF", "TIFF", "PPM", "ICO", "AVIF"])
def test_an_image_of_a_format_that_is_not_read_is_refused(file_format: str) -> None:
    assert refusal(encoded(plain("L", (32, 32), 0), file_format)).detail.endswith("is no PNG, JPEG, WEBP or BMP image")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP"])
def test_half_an_image_is_refused_as_damaged(file_format: str) -> None:
    content = encoded(noise((60, 60)), file_format)
    assert refusal(content[: len(content) // 2]).detail == f"image[3]: is a damaged {file_format} image"


def test_half_a_webp_is_refused() -> None:
    content = encoded(noise((30, 30)), "WEBP")
    assert refusal(content[: len(content) // 2]).errors[0].field == "image[3]"


def test_pixels_that_cannot_be_decoded_are_refused_as_damaged() -> None:
    assert refusal(png_around(50, 50, 8, GREY, NO_PIXELS)).detail == "image[3]: is a damaged PNG image"


@pytest.mark.parametrize(("side", "found"), [(30_000, "its header claims more"), (12_000, "it has 12000 x 12000")])
def test_a_bomb_is_refused_for_its_size_before_its_pixels_are_looked_at(side: int, found: str) -> None:
    # Its pixels cannot be decoded: whoever tried would call it damaged.
    detail = refusal(png_around(side, side, 8, COLOURS, NO_PIXELS)).detail
    assert detail == f"image[3]: may have at most 10000 pixels, {found}"


def test_one_pixel_too_many_is_refused_with_the_limit() -> None:
    detail = refusal(encoded(plain("L", (MAX_PIXELS + 1, 1), 0), "PNG")).detail
    assert detail == "image[3]: may have at most 10000 pixels, it has 10001 x 1"


def test_as_many_pixels_as_are_allowed_are_read() -> None:
    assert len(fit_upload(Upload("body", encoded(plain("L", (100, 100), 0), "PNG")), SHAPE, MAX_PIXELS).pixels) == 784


def test_a_refusal_names_its_file() -> None:
    assert [(error.field, error.location) for error in refusal(b"seven").errors] == [("image[3]", "body")]


def test_an_exif_block_that_cannot_be_written_again_is_refused_as_damaged() -> None:
    # To turn a picture, Pillow writes its EXIF block anew; here its width is a text.
    content = SOUND["jpeg"].replace(b"\x01\x0e\x00\x02", b"\x01\x00\x00\x02")
    assert refusal(content).detail == "image[3]: is a damaged JPEG image"


@pytest.mark.parametrize("chunk", [b"", b"\0", b"\0\1\2\3\4"])
def test_a_chunk_of_the_wrong_length_is_no_fault_of_ours(chunk: bytes) -> None:
    content = png(2, 2, 8, COLOURS, 2 * b"\0\1\2\3\4\5\6", (b"tRNS", chunk))
    assert refusal(content).errors[0].field == "image[3]"


# Pillow warns of damaged metadata, which is no error.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("damage", [truncated, flipped, doubled, shortened], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", SOUND)
def test_a_damaged_file_is_fitted_or_refused_and_nothing_else(
    name: str, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    source = random.Random(f"{name} {damage.__name__}")
    for _ in range(20):
        with suppress(InvalidInput):
            assert len(fit_upload(Upload("body", damage(SOUND[name], source)), SHAPE, MAX_PIXELS).pixels) == 784
