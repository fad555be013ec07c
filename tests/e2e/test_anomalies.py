"""Laws of the bundled model's calibration: what is no digit is an anomaly, and digits it never saw are none.

The digits are MNIST test images that are in no calibration: the last of the draw with seed 0.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from model.calibration_files import calibration_names
from model.checkpoint import find
from tests.e2e.conftest import Launcher, Site

MODEL = "mnist-28"
DIGITS = sorted((Path(__file__).parent / "digits").glob("*.png"))


@pytest.fixture(scope="module")
def site(launcher: Launcher) -> Iterator[Site]:
    """`tarflow serve` with the bundled model."""
    if not calibration_names(find(MODEL)):
        pytest.skip(f"{MODEL} has no calibration")
    with launcher.serving("--models", MODEL) as site:
        yield site


def plain(level: int) -> Image.Image:
    """An image of one grey."""
    return Image.new("L", (28, 28), level)


def checkerboard(step: int) -> Image.Image:
    """Squares of black and white."""
    image = plain(0)
    draw = ImageDraw.Draw(image)
    for row in range(0, 28, step):
        for column in range(0, 28, step):
            if (row + column) // step % 2:
                draw.rectangle((column, row, column + step - 1, row + step - 1), 255)
    return image


def scored(site: Site, image: Image.Image, query: str = "") -> dict[str, Any]:
    """The result of one image."""
    file = io.BytesIO()
    image.save(file, "PNG")
    answer = site.http.post(f"/score{query}", content=file.getvalue(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return dict(result)


@pytest.mark.parametrize(
    "image",
    [plain(0), plain(255), checkerboard(1), checkerboard(4), checkerboard(7)],
    ids=["blank", "white", "checkerboard of 1", "checkerboard of 4", "checkerboard of 7"],
)
def test_what_is_no_digit_is_an_anomaly(site: Site, image: Image.Image) -> None:
    found = scored(site, image)
    assert (found["is_anomaly"], found["warnings"]) == (True, [])


@pytest.mark.parametrize("file", DIGITS, ids=lambda file: file.stem)
def test_a_digit_that_it_never_saw_is_none(site: Site, file: Path) -> None:
    with Image.open(file) as image:
        found = scored(site, image)
    assert (found["is_anomaly"], found["direction"], found["warnings"]) == (False, None, [])


@pytest.mark.parametrize("file", DIGITS[:3], ids=lambda file: file.stem)
def test_the_patches_sum_to_the_likelihood(site: Site, file: Path) -> None:
    with Image.open(file) as image:
        found = scored(site, image, "?patches=true")
    assert sum(found["patch_log_likelihood_nats"]) == pytest.approx(found["log_likelihood_nats"], rel=1e-3)


def test_a_heat_map_is_legible(site: Site) -> None:
    headers = {"Content-Type": "image/png", "Accept": "image/png"}
    answer = site.http.post("/score", content=DIGITS[0].read_bytes(), headers=headers)
    assert min(Image.open(io.BytesIO(answer.content)).size) > 336
