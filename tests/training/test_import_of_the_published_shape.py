"""Owns the law of importing at full size: 3 GiB of weights, never held twice, asked for by class and by name.

Slow: it needs 12 GiB of memory, 7 GiB of disk and minutes. Run it with `python -m pytest -m slow`.
"""

import json
import math
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.published import FILE_NAME, MIB, import_cost, picture_cost, score_cost, write_random
from model.checkpoint import load_card, load_config

pytestmark = pytest.mark.slow
TOY = Path(__file__).parents[1] / "golden" / "conditional.pth"
SLACK = 1.1  # of a file's size beside the interpreter and its libraries


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the published layout and shape."""
    file = tmp_path_factory.mktemp("published") / FILE_NAME
    write_random(file)
    return file


@pytest.fixture(scope="module")
def peak_mib(published: Path) -> float:
    """The most memory that importing it held; the folder lies beside it."""
    return import_cost(published, published.parent / "imagenet-64", "--class-names", "imagenet").peak_mib


@pytest.fixture(scope="module")
def imported(published: Path, peak_mib: float) -> Path:
    """The checkpoint folder."""
    assert peak_mib > 0
    return published.parent / "imagenet-64"


def test_importing_never_holds_two_copies(published: Path, peak_mib: float, tmp_path: Path) -> None:
    libraries_mib = import_cost(TOY, tmp_path / "toy", "--noise-std", "0.05").peak_mib
    assert peak_mib - libraries_mib < SLACK * published.stat().st_size / MIB


def test_the_shape_is_the_published_one(imported: Path) -> None:
    config = load_config(imported)
    assert (config.image_size, config.in_channels, config.num_classes, config.noise_std) == (64, 3, 1000, 0.05)
    assert (config.patch_size, config.channels, config.blocks, config.layers_per_block) == (4, 1024, 8, 8)


def test_its_data_and_names_are_known(imported: Path) -> None:
    card = load_card(imported)
    assert (card.trained_on, card.class_names[207]) == ("imagenet_64", "golden retriever")


def test_it_makes_a_golden_retriever_and_scores_it_as_class_207(imported: Path, tmp_path: Path) -> None:
    made = picture_cost(imported, "golden retriever", tmp_path / "dog.png", "--guidance", "0", "--no-denoise")
    assert json.loads(made.output)["class_index"] == 207
    with Image.open(tmp_path / "dog.png") as picture:
        assert (picture.size, picture.mode) == ((64, 64), "RGB")
    (score,) = json.loads(score_cost(imported, "207", tmp_path / "dog.png").output)["results"]
    assert math.isfinite(score["log_likelihood_nats"])
