"""Owns the laws of judging samples: shares are counted by class, and a judge judges only what it can."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.classifier import Judge, save_judge
from benchmarks.networks import Architecture, build
from benchmarks.recognition import check_judge, main, recognition, sheet
from model import TarFlow, TarFlowConfig, save
from model.card import Card, SamplingDefaults


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
    with pytest.raises(
        ValueError, match=r"judges grey images of 28 pixels, the flow's have [13] channels and (28|32) pixels"
    ):
        check_judge(JUDGE, flow, ("zero",))


def test_classes_that_the_judge_does_not_know_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"does not know the checkpoint's classes \['cat'\]"):
        check_judge(JUDGE, flow_of(), ("zero", "cat"))


def test_a_judge_of_colours_judges_a_flow_of_colours_at_its_own_guidance_and_at_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    architecture, names = Architecture("residual", 16, 3, width=8), ("blue", "green", "red")
    save_judge(Judge(build(architecture, 3).eval(), architecture, names, 0.5), tmp_path / "judge.safetensors", "here")
    flow = TarFlow(TarFlowConfig(16, 8, 16, 1, 1, head_dim=16, num_classes=3, noise_std=0.1))
    save(flow, tmp_path / "flow", Card(names, SamplingDefaults(guidance=1.5)))
    files = ["--checkpoint", str(tmp_path / "flow"), "--classifier", str(tmp_path / "judge.safetensors")]
    assert main([*files, "--per-class", "2", "--out", str(tmp_path / "sheet.png")]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(each["guidance"], each["count"]) for each in report["results"]] == [(1.5, 6), (0.0, 6)]
    assert list(report["results"][0]["share_by_class"]) == list(names)
    assert (tmp_path / "sheet.png").is_file()
