"""Laws of the count of verdicts: what is sent back is the image, and the calibration decides what is flagged."""

import pytest
import torch

from benchmarks.anomaly import fresh_images
from benchmarks.verdicts import SAVED, flagged, sent_back
from model import load
from model.calibration import DEFAULT_NAME, Calibration
from model.calibration_files import load_calibration
from model.checkpoint import find, load_card
from training.image_folder import ImageFolder

IMAGES = torch.randint(256, (5, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    """The one that is shipped."""
    return load_calibration(find("mnist-28"), DEFAULT_NAME, load_card("mnist-28").digest, "cpu")


def test_an_image_that_is_sent_as_it_is_comes_back_as_it_was() -> None:
    assert sent_back(IMAGES, SAVED["as they are"]).equal(IMAGES)


@pytest.mark.parametrize("name", [name for name in SAVED if name != "as they are"])
def test_an_image_that_is_saved_otherwise_comes_back_changed(name: str) -> None:
    back = sent_back(IMAGES, SAVED[name])
    assert (back.shape, back.dtype) == (IMAGES.shape, torch.uint8)
    assert (back != IMAGES).flatten(1).any(dim=1).all()


def test_noise_is_flagged_and_nothing_where_alpha_is_under_every_p_value(calibration: Calibration) -> None:
    flow = load("mnist-28")
    assert flagged(flow, calibration, IMAGES, alpha=0.01) == len(IMAGES)
    assert flagged(flow, calibration, IMAGES, alpha=1e-6) == 0


def test_fresh_images_are_those_that_a_calibration_was_not_made_from(calibration: Calibration) -> None:
    made = calibration.provenance
    count = made.fitted + made.compared
    own = ImageFolder(torch.zeros(count + 7, 1, 1, 1), torch.zeros(count + 7, dtype=torch.long), ("0",), ())
    fresh = fresh_images(own, calibration)
    assert len(set(fresh.tolist())) == 7
