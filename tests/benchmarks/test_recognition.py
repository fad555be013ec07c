"""Owns the laws of judging samples: shares are counted by class, and a judge judges only what it can."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.classifier import Judge
from benchmarks.networks import Architecture
from benchmarks.recognition import check_judge, recognition, sheet
from model import TarFlow, TarFlowConfig


class Brightness(nn.Module):
    """Takes an image for the class that its first pixel names."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, 3)."""
        return nn.functional.one_hot(pixels[:, 0, 0, 0].long(), 3)


def digits(*values: int) -> Tensor:
    """An image of each value."""
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 28, 28)


def flow_of(image_size: int = 28, in_channels: int = 1) -> TarFlow:
    """The smallest flow of such images."""
    return TarFlow(TarFlowConfig(image_size, image_size // 2, 16, 1, 1, in_channels, head_dim=16))


JUDGE = Judge(Brightness(), Architecture("small", 28, 1), ("zero", "one", "two"), 0.9)


def test_shares_are_counted_by_class_and_over_all() -> None:
    found = recognition(JUDGE, digits(0, 0, 1, 0, 2, 2), ("zero", "one", "two"), guidance=2.0, seconds=1.0)
    assert found.share_by_class == {"zero": 1.0, "one": 0.5, "two": 1.0}
    assert (found.count, found.share) == (6, 5 / 6)


def test_classes_are_matched_by_name_and_not_by_place() -> None:
    found = recognition(JUDGE, digits(2, 2, 0, 0), ("two", "zero"), guidance=2.0, seconds=1.0)
    assert found.share == 1.0


def test_a_sheet_shows_one_guidance_beside_the_other_a_class_a_row() -> None:
    shown = sheet([digits(10, 11, 20, 21), digits(30, 31, 40, 41)], classes=2)
    corners = shown[0, 2::30, 2::30]
    assert corners.tolist() == [[10, 11, 30, 31], [20, 21, 40, 41]]


@pytest.mark.parametrize("flow", [flow_of(image_size=32), flow_of(in_channels=3)])
def test_a_flow_of_other_images_is_refused(flow: TarFlow) -> None:
    with pytest.raises(ValueError, match="judges grey images of 28 pixels, the flow's have [13] channels and (28|32) pixels"):
        check_judge(JUDGE, flow, ("zero",))


def test_classes_that_the_judge_does_not_know_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"does not know the checkpoint's classes \['cat'\]"):
        check_judge(JUDGE, flow_of(), ("zero", "cat"))
