"""Laws of the PNG files: the pixels given, the request that made them, and the sheet's layout."""

import io
import json
from typing import Any

import numpy
import pytest
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from tests.worker.conftest import EngineMaker, generate_request, made
from worker.contract import NO_CLASS, GenerateRequest
from worker.engine import Engine
from worker.images import describe, encode_pictures


def opened(content: bytes) -> PngImagePlugin.PngImageFile:
    """The PNG, fully decoded."""
    image = Image.open(io.BytesIO(content))
    assert isinstance(image, PngImagePlugin.PngImageFile)
    image.load()
    return image


def pixels_of(content: bytes) -> Tensor:
    """The uint8 pixels (C, H, W) of a PNG."""
    values = torch.from_numpy(numpy.array(opened(content)))
    return values.unsqueeze(0) if values.ndim == 2 else values.permute(2, 0, 1)


def told(content: bytes) -> dict[str, Any]:
    """What a PNG says of how it was made."""
    said: dict[str, Any] = json.loads(opened(content).text["tarflow"])
    return said


def asked_again(content: bytes) -> GenerateRequest:
    """The request that a PNG's own words make."""
    said = told(content)
    del said["class_name"]
    index = said.pop("class")
    return GenerateRequest(class_index=NO_CLASS if index is None else index, **said)


def random_pixels(count: int, channels: int = 1) -> Tensor:
    """Pixels (count, C, 8, 8)."""
    return torch.randint(256, (count, channels, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_decodes_to_the_pixels_given(engine: Engine, channels: int) -> None:
    pixels = random_pixels(2, channels)
    files = encode_pictures(pixels, generate_request(engine, n=2), engine.facts())
    assert torch.equal(pixels_of(files["0"]), pixels[0])
    assert torch.equal(pixels_of(files["1"]), pixels[1])


def test_one_picture_has_no_sheet(engine: Engine) -> None:
    assert encode_pictures(random_pixels(1), generate_request(engine), engine.facts()).keys() == {"0"}


def test_several_pictures_have_a_sheet_too(engine: Engine) -> None:
    files = encode_pictures(random_pixels(3), generate_request(engine, n=3), engine.facts())
    assert files.keys() == {"0", "1", "2", "sheet"}


def test_a_sheet_lays_the_pictures_out_in_rows_with_margins_between(engine: Engine) -> None:
    pixels = random_pixels(5)
    sheet = pixels_of(encode_pictures(pixels, generate_request(engine, n=5), engine.facts())["sheet"])
    expected = torch.full((1, 22, 32), 255, dtype=torch.uint8)
    for index in range(5):
        top, left = 2 + 10 * (index // 3), 2 + 10 * (index % 3)
        expected[:, top : top + 8, left : left + 8] = pixels[index]
    assert torch.equal(sheet, expected)


def test_a_colour_sheet_is_in_colour(engine: Engine) -> None:
    files = encode_pictures(random_pixels(2, 3), generate_request(engine, n=2), engine.facts())
    assert opened(files["sheet"]).mode == "RGB"


@pytest.mark.parametrize("changes", [{}, {"class_index": NO_CLASS, "attention_temperature": 0.5}, {"denoise": False}])
def test_a_picture_can_be_made_again_from_its_own_words(engine: Engine, changes: dict[str, Any]) -> None:
    request = generate_request(engine, **changes)
    (picture,) = made(engine, request)
    content = encode_pictures(picture.pixels, request, engine.facts())["0"]
    (again,) = made(engine, asked_again(content))
    assert torch.equal(again.pixels[0], pixels_of(content))


def test_a_picture_of_several_can_be_made_again_alone(engine: Engine) -> None:
    request = generate_request(engine, n=3)
    (pictures,) = made(engine, request)
    content = encode_pictures(pictures.pixels, request, engine.facts())["2"]
    (again,) = made(engine, asked_again(content))
    assert torch.equal(again.pixels[0], pixels_of(content))


def test_a_sheet_says_the_request_of_all_its_pictures(engine: Engine) -> None:
    request = generate_request(engine, n=3)
    files = encode_pictures(random_pixels(3), request, engine.facts())
    assert asked_again(files["sheet"]) == request


def test_a_picture_names_its_class(engine: Engine) -> None:
    files = encode_pictures(random_pixels(1), generate_request(engine, class_index=2), engine.facts())
    assert told(files["0"])["class_name"] == "owl"


def test_a_class_name_may_be_in_any_script(engine: Engine) -> None:
    facts = engine.facts().model_copy(update={"class_names": ("猫", "köter", "🦉")})
    files = encode_pictures(random_pixels(1), generate_request(engine, class_index=2), facts)
    assert told(files["0"])["class_name"] == "🦉"


def test_a_picture_of_no_class_says_so(make_engine: EngineMaker) -> None:
    engine = make_engine(num_classes=0)
    words = describe(generate_request(engine, class_index=NO_CLASS), engine.facts())
    assert (words["class"], words["class_name"]) == (None, None)
