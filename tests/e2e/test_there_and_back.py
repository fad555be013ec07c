"""Laws of the way there and back with real workers: an image comes back, and a picture is what it says."""

import io

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.client import Client
from tests.e2e.conftest import Site

PNG_TYPE = {"Content-Type": "image/png"}
FILE = "application/octet-stream"


def pixels(png: bytes) -> bytes:
    """What a PNG shows, whatever it says of itself."""
    with Image.open(io.BytesIO(png)) as image:
        return image.tobytes()


@pytest.fixture(scope="module")
def picture(live: Site) -> bytes:
    """A picture of the tiny model."""
    return live.http.post("/generate?class=cat&seed=3").content


def test_an_image_comes_back_to_the_last_bit(live: Site, picture: bytes) -> None:
    headers = PNG_TYPE | {"Accept": FILE}
    latents = live.http.post("/encode?class=dog", content=picture, headers=headers)
    back = live.http.post("/decode?class=dog", content=latents.content, headers={"Content-Type": FILE})
    assert pixels(back.content) == pixels(picture)


def test_under_another_class_it_comes_back_as_another(live: Site, picture: bytes) -> None:
    latents = live.http.post("/encode?class=dog", content=picture, headers=PNG_TYPE).content
    back = live.http.post("/decode?class=owl", content=latents, headers={"Content-Type": "application/json"})
    assert pixels(back.content) != pixels(picture)


@pytest.mark.parametrize("query", ["class=cat&seed=3", "seed=5&n=4&guidance=0&denoise=false"])
def test_a_picture_is_what_it_says(query: str, live: Site) -> None:
    made = live.http.post(f"/generate?{query}").content
    verdict = live.http.post("/verify", content=made, headers=PNG_TYPE).json()
    assert (verdict["verified"], verdict["max_difference"]) == (True, 0)


def test_a_picture_that_was_touched_is_not(live: Site, picture: bytes) -> None:
    with Image.open(io.BytesIO(picture)) as image:
        file, words = io.BytesIO(), PngInfo()
        words.add_itxt("tarflow", str(image.info["tarflow"]))
        touched = Image.frombytes(image.mode, image.size, bytes([image.tobytes()[0] ^ 1]) + image.tobytes()[1:])
        touched.save(file, "PNG", pnginfo=words)
    verdict = live.http.post("/verify", content=file.getvalue(), headers=PNG_TYPE).json()
    assert (verdict["verified"], verdict["differing_values"]) == (False, 1)


def test_the_client_goes_there_and_back(live: Site, picture: bytes) -> None:
    with Client(str(live.http.base_url)) as tarflow:
        encoded = tarflow.encode(picture, "cat")
        assert pixels(tarflow.decode(encoded["latents"], "cat")) == pixels(picture)
        assert len(tarflow.interpolate(picture, picture, n=3)) == 3
        assert tarflow.verify(picture)["verified"]
