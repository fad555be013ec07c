"""Laws of what is too far from what a bundled model knows: the request is at fault, and told so at once and later."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from service.client import Client, TarFlowError
from tests.e2e.conftest import Launcher, Site

MODEL = "mnist-28-density"
PNG_TYPE = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def site(launcher: Launcher) -> Iterator[Site]:
    """`tarflow serve` with the bundled model of dequantised density."""
    with launcher.serving("--models", MODEL) as site:
        yield site


def plain(level: int) -> bytes:
    """A PNG of one grey."""
    file = io.BytesIO()
    Image.new("L", (28, 28), level).save(file, "PNG")
    return file.getvalue()


def between(black: bytes, white: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Both as files of a form."""
    return [("image", ("a.png", black, "image/png")), ("image", ("b.png", white, "image/png"))]


def fields(answer: httpx.Response) -> list[str]:
    """Those at fault, of an answer that says so."""
    assert answer.status_code == 422, answer.text
    return [each["field"] for each in answer.json()["errors"]]


def test_a_white_image_has_latents_that_do_not_lead_back(site: Site) -> None:
    body = site.http.post("/encode?class=7", content=plain(255), headers=PNG_TYPE).json()
    assert set(body["round_trip"].values()) == {None}
    again = site.http.post("/decode?class=7", json={"latents": body["latents"], "model_digest": body["model_digest"]})
    assert fields(again) == ["latents"]


def test_a_black_image_has_a_round_trip(site: Site) -> None:
    trip = site.http.post("/encode?class=7", content=plain(0), headers=PNG_TYPE).json()["round_trip"]
    assert trip["changed_values"] == 0


def test_wild_latents_are_at_fault_now_and_later(site: Site) -> None:
    body: dict[str, Any] = {"latents": [[1000.0] * 16] * 49}
    answer = site.http.post("/decode?class=1", json=body)
    job = f"/jobs/{answer.headers['X-Job-Id']}"
    assert fields(answer) == fields(site.http.get(f"{job}/result")) == ["latents"]
    assert site.http.get(job).json()["failure"] == answer.json()["detail"]
    assert f"{MODEL}, class 1" in answer.json()["detail"]


def test_of_two_images_the_one_at_fault_is_named(site: Site) -> None:
    assert fields(site.http.post("/interpolate?class=7", files=between(plain(0), plain(255)))) == ["image[1]"]


def test_the_client_is_told_the_field(site: Site) -> None:
    with Client(str(site.http.base_url)) as tarflow, pytest.raises(TarFlowError, match=r"^latents: ") as refused:
        tarflow.decode([[1000.0] * 16] * 49, "1")
    assert refused.value.status == 422
