"""Owns the laws of sample quality: samples beside real images, on the features of a network."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import TarFlow
from model.card import SamplingDefaults
from model.pixels import to_pixels
from training.drawing import Drawing, labels_like
from training.features import FeatureExtractor
from training.image_folder import ImageFolder
from training.sample_quality import bias_warning, sample_quality

FlowMaker = Callable[..., TarFlow]
COUNT = 40


def corners(pixels: Tensor) -> Tensor:
    """The pixels of a corner of each image, as floats (N, 4)."""
    return pixels[:, 0, -2:, -2:].flatten(1).float()


EXTRACTOR = FeatureExtractor("corners", corners, torch.device("cpu"))


@pytest.fixture
def drawing(make_shifting_flow: FlowMaker) -> Drawing:
    """Of a flow of two classes."""
    return Drawing(make_shifting_flow(-0.3, 0.3, noise_std=0.1), SamplingDefaults(guidance=0.5), seed=9)


def own_samples(drawing: Drawing, seed: int = 9) -> ImageFolder:
    """Samples of the flow, as if they were real images: as many of each class."""
    labels = labels_like(torch.tensor([0, 1]).repeat_interleave(COUNT // 2), COUNT, seed)
    images = torch.cat(list(Drawing(drawing.flow, drawing.sampling, seed=seed).batches(labels, COUNT)))
    return ImageFolder(to_pixels(images, drawing.flow.config), labels, ("dark", "light"), ())


def test_a_flow_beside_its_own_samples_is_without_fault(drawing: Drawing) -> None:
    # Only where the labels come in the very same order are the samples the very same.
    reference = own_samples(drawing)
    images = torch.cat(list(drawing.batches(labels_like(reference.labels, COUNT, drawing.seed), 7)))
    same = ImageFolder(to_pixels(images, drawing.flow.config), reference.labels, reference.class_names, ())
    found = sample_quality(drawing, EXTRACTOR, same, COUNT, batch_size=7)
    assert (found.precision, found.recall) == (1.0, 1.0)
    assert found.frechet_distance == pytest.approx(0, abs=1e-6)


def test_a_flow_beside_images_it_never_makes_is_far_off(drawing: Drawing) -> None:
    real = own_samples(drawing)
    black = ImageFolder(torch.zeros_like(real.pixels), real.labels, real.class_names, ())
    near, far = (sample_quality(drawing, EXTRACTOR, each, COUNT, batch_size=COUNT) for each in (real, black))
    assert far.frechet_distance > 10 * near.frechet_distance


def test_the_figures_say_what_they_are_of(drawing: Drawing) -> None:
    found = sample_quality(drawing, EXTRACTOR, own_samples(drawing), 12, batch_size=5)
    assert (found.samples, found.reference_images, found.guidance, found.seed) == (12, COUNT, 0.5, 9)
    assert (found.features, found.feature_count, found.neighbours) == ("corners", 4, 3)


@pytest.mark.parametrize(
    ("images", "features", "says"),
    [
        (128, 128, "128 images cannot fill 128 features"),
        (9999, 128, "below 10000 images the distance is biased upwards"),
        (10_000, 10_000, "10000 images cannot fill 10000 features"),
    ],
)
def test_too_few_images_are_warned_of(images: int, features: int, says: str) -> None:
    warning = bias_warning(images, features)
    assert warning is not None
    assert says in warning


def test_enough_images_are_not_warned_of() -> None:
    assert bias_warning(10_000, 2048) is None
