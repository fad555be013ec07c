"""Owns the laws of the command `evaluate` beside samples: what is refused, and which figures come out."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from model import TarFlow, save
from model.card import Card, SamplingDefaults
from model.checkpoint import load_card
from training.__main__ import main

Text = pytest.CaptureFixture[str]


class Corners(nn.Module):
    """The pixels of a corner of each image."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (N, 4)."""
        return pixels[:, 0, -2:, -2:].float().flatten(1)


@pytest.fixture
def checkpoint(make_shifting_flow: Callable[..., TarFlow], tmp_path: Path) -> Path:
    """A checkpoint that knows cats and dogs."""
    card = Card(("cat", "dog"), SamplingDefaults(guidance=0.5))
    save(make_shifting_flow(-0.3, 0.3, noise_std=0.1), tmp_path / "flow", card)
    return tmp_path / "flow"


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """A TorchScript file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Corners()).save(str(tmp_path / "corners.pt"))
    return tmp_path / "corners.pt"


@pytest.fixture
def evaluate(checkpoint: Path, make_folder: Callable[..., Path], capsys: Text) -> Callable[..., dict[str, Any]]:
    """The command with more arguments; its figures."""
    data = make_folder()

    def run(*more: str | Path) -> dict[str, Any]:
        status = main(["evaluate", "--checkpoint", str(checkpoint), "--data", str(data), *map(str, more)])
        said = capsys.readouterr()
        return {"status": status, "err": said.err} | (json.loads(said.out) if said.out else {})

    return run


Evaluate = Callable[..., dict[str, Any]]


def test_samples_are_compared_with_the_test_images(evaluate: Evaluate, features: Path) -> None:
    found = evaluate("--samples", "20", "--features", features)
    quality = found["sample_quality"]
    assert (quality["samples"], quality["reference_images"], quality["guidance"]) == (20, 24, 0.5)
    assert {"frechet_distance", "precision", "recall", "features", "warning"} < set(quality)
    assert "bits_per_dim" in found


def test_few_samples_are_warned_of_on_stderr(evaluate: Evaluate, features: Path) -> None:
    found = evaluate("--no-likelihood", "--samples", "20", "--features", features)
    assert f"tarflow evaluate: {found['sample_quality']['warning']}" in found["err"]


def test_samples_alone_leave_the_likelihoods_out(evaluate: Evaluate, features: Path) -> None:
    found = evaluate("--no-likelihood", "--samples", "4", "--features", features, "--guidance", "0")
    assert (found["status"], "bits_per_dim" in found, found["sample_quality"]["guidance"]) == (0, False, 0)


def test_another_folder_than_the_test_images_may_be_the_reference(
    evaluate: Evaluate, features: Path, make_folder: Callable[..., Path]
) -> None:
    reference = make_folder("reference", cat=7, dog=2)
    found = evaluate("--no-likelihood", "--samples", "9", "--features", features, "--reference", reference)
    assert found["sample_quality"]["reference_images"] == 9


def test_record_writes_the_figures_with_their_command(evaluate: Evaluate, features: Path, checkpoint: Path) -> None:
    found = evaluate("--no-likelihood", "--samples", "8", "--features", features, "--record")
    card = load_card(checkpoint)
    assert card.metrics["frechet_distance_at_guidance_0.5"] == found["sample_quality"]["frechet_distance"]
    assert card.metrics["frechet_samples_at_guidance_0.5"] == 8
    assert set(card.measured_by) == set(card.metrics)
    assert card.measured_by["recall_at_guidance_0.5"].startswith("tarflow evaluate --checkpoint ")


def test_figures_at_two_guidances_stand_beside_each_other(evaluate: Evaluate, features: Path, checkpoint: Path) -> None:
    for count, guidance in (("8", "0"), ("9", "1")):
        evaluate("--no-likelihood", "--samples", count, "--features", features, "--guidance", guidance, "--record")
    metrics = load_card(checkpoint).metrics
    assert [metrics[f"frechet_samples_at_guidance_{guidance}"] for guidance in (0, 1)] == [8, 9]


def test_figures_of_a_flow_without_classes_are_of_unguided_pictures(
    make_shifting_flow: Callable[..., TarFlow], evaluate: Evaluate, features: Path, checkpoint: Path
) -> None:
    save(make_shifting_flow(noise_std=0.1), checkpoint, Card(sampling=SamplingDefaults(guidance=2.0)))
    evaluate("--no-likelihood", "--samples", "8", "--features", features, "--record")
    assert "frechet_distance_at_guidance_0" in load_card(checkpoint).metrics


def test_two_methods_are_compared_on_the_same_noise(evaluate: Evaluate) -> None:
    found = evaluate("--no-likelihood", "--samples", "6", "--compare", "method=sequential,parallel")["comparison"]
    assert (found["first"], found["second"]) == ("method=sequential", "method=parallel")
    assert found["equal_pixels"] > 0.9
    assert found["frechet_distance"] is None


def test_two_checkpoints_are_compared_on_the_same_noise(
    evaluate: Evaluate, features: Path, make_shifting_flow: Callable[..., TarFlow], tmp_path: Path
) -> None:
    save(make_shifting_flow(-0.2, 0.4, noise_std=0.1), tmp_path / "other", Card(("cat", "dog")))
    options = ("--samples", "6", "--compare", f"checkpoint={tmp_path / 'other'}", "--features", features)
    found = evaluate("--no-likelihood", *options)["comparison"]
    assert 0.05 < found["max_abs_difference"] < 0.5
    assert found["frechet_distance"] > 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--samples", "3", "--features", "FILE"), "--samples must lie in [4, "),
        (("--samples", "8"), "--samples needs --features or --inception"),
        (("--features", "FILE"), "--features and --inception need --samples"),
        (("--samples", "8", "--features", "nowhere.pt"), "--features nowhere.pt: no such file"),
        (("--samples", "8", "--inception", "nowhere.pth"), "--inception nowhere.pth: no such file"),
        (("--samples", "8", "--features", "FILE", "--guidance", "21"), "--guidance must lie in [0, 20], got 21"),
        (("--samples", "8", "--features", "FILE", "--guidance", "nan"), "--guidance must lie in [0, 20], got nan"),
        (("--seed", "-1"), "--seed must lie in [0, "),
        (("--compare", "method=sequential,parallel"), "--compare needs --samples"),
        (("--samples", "8", "--compare", "method=sequential"), "--compare must be checkpoint=NAME or method=A,B"),
        (("--samples", "8", "--compare", "method=auto,auto"), "--compare must be checkpoint=NAME or method=A,B"),
        (("--samples", "8", "--compare", "colour=red"), "--compare must be checkpoint=NAME or method=A,B"),
        (("--samples", "8", "--compare", "checkpoint=nobody"), "no checkpoint 'nobody'"),
        (("--no-likelihood",), "--no-likelihood without --samples leaves nothing to do"),
        (("--no-likelihood", "--record", "--samples", "8", "--compare", "method=auto,parallel"), "--record"),
        (("--reference", "nowhere", "--samples", "8", "--features", "FILE"), "nowhere: no such folder"),
    ],
)
def test_a_bad_option_is_refused_by_name_before_the_work_begins(
    evaluate: Evaluate, features: Path, options: tuple[str, ...], says: str
) -> None:
    found = evaluate(*(str(features) if option == "FILE" else option for option in options))
    assert found["status"] == 2
    assert says in found["err"]
    assert "image 1" not in found["err"]  # no line of progress


def test_two_networks_at_once_are_refused(evaluate: Evaluate, features: Path) -> None:
    with pytest.raises(SystemExit):
        evaluate("--samples", "8", "--features", features, "--inception", features)
