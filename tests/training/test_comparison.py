"""Owns the laws of comparing two ways of sampling on the same noise."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model import TarFlow
from model.card import SamplingDefaults
from training.comparison import compare
from training.drawing import Drawing
from training.features import FeatureExtractor

FlowMaker = Callable[..., TarFlow]
LABELS = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])


def corners(pixels: Tensor) -> Tensor:
    """The pixels of a corner of each image, as floats (N, 4)."""
    return pixels[:, 0, -2:, -2:].flatten(1).float()


EXTRACTOR = FeatureExtractor("corners", corners, torch.device("cpu"))


def plain(flow: TarFlow) -> Drawing:
    """A drawing without guidance."""
    return Drawing(flow, SamplingDefaults())


def test_a_way_beside_itself_makes_the_same_pixels(make_shifting_flow: FlowMaker) -> None:
    drawing = plain(make_shifting_flow(-0.3, 0.3, noise_std=0.1))
    found = compare({"one": drawing, "other": drawing}, LABELS, 3, EXTRACTOR)
    assert (found.max_abs_difference, found.mean_abs_difference, found.equal_pixels) == (0, 0, 1)
    assert found.frechet_distance == pytest.approx(0, abs=1e-6)


def test_the_largest_difference_is_that_of_the_flows(make_shifting_flow: FlowMaker) -> None:
    # One flow adds 0.25 more to every value beyond the first patch, where it stays within black and white.
    first, second = (plain(make_shifting_flow(level, level, noise_type="uniform")) for level in (0.0, 0.25))
    assert compare({"a": first, "b": second}, LABELS, 8).max_abs_difference == pytest.approx(0.25, rel=1e-5)


def test_the_mean_and_the_share_of_equal_pixels_are_over_all_values(make_shifting_flow: FlowMaker) -> None:
    # From mid-grey to white: everything beyond the first patch, a quarter of the image, becomes white in both or one.
    first, second = (plain(make_shifting_flow(level, level, noise_type="uniform")) for level in (50.0, -50.0))
    found = compare({"a": first, "b": second}, LABELS, 3)
    assert (found.mean_abs_difference, found.equal_pixels) == (2 * 0.75, 0.25)


def test_methods_are_compared_by_name_and_number(make_shifting_flow: FlowMaker) -> None:
    flow = make_shifting_flow(-0.3, 0.3)
    drawings = {method: Drawing(flow, SamplingDefaults(), method) for method in ("sequential", "parallel")}
    found = compare(drawings, LABELS, 8)
    assert (found.first, found.second, found.samples) == ("sequential", "parallel", 8)
    assert found.max_abs_difference < 1e-4


def test_without_a_network_there_is_no_distance(make_shifting_flow: FlowMaker) -> None:
    drawing = plain(make_shifting_flow(-0.3, 0.3))
    found = compare({"a": drawing, "b": drawing}, LABELS, 8)
    assert (found.frechet_distance, found.features, found.warning) == (None, None, None)


@pytest.mark.parametrize(
    ("levels", "change", "says"),
    [
        ((0.0, 0.0, 0.0), {}, "num_classes is 2 of the one checkpoint, 3 of the other"),
        ((0.0, 0.0), {"image_size": 16}, "image_size is 8 of the one checkpoint, 16 of the other"),
        ((0.0, 0.0), {"patch_size": 2}, "patch_size is 4 of the one checkpoint, 2 of the other"),
    ],
)
def test_checkpoints_of_other_images_are_refused_by_name(
    make_shifting_flow: FlowMaker, levels: tuple[float, ...], change: dict[str, int], says: str
) -> None:
    first, second = plain(make_shifting_flow(0.0, 0.0)), plain(make_shifting_flow(*levels, **change))
    with pytest.raises(ValueError, match=says):
        compare({"a": first, "b": second}, LABELS, 8)
