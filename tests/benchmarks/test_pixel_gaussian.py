"""Owns the laws of the Gaussian yardstick: its moments are the images', and its figures are counted by class."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks import classifier, classifier_features, pixel_gaussian
from benchmarks.classifier import Judge
from benchmarks.networks import Architecture
from benchmarks.pixel_gaussian import draw, draw_classes, recognised
from training.image_folder import ImageFolder

CPU = torch.device("cpu")
CLASSES = ("zero", "one", "two")


class Brightness(nn.Module):
    """Takes an image for the class that its first pixel names."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, 3)."""
        return nn.functional.one_hot(pixels[:, 0, 0, 0].long(), 3)


def generator(seed: int = 0) -> torch.Generator:
    """One of its own."""
    return torch.Generator().manual_seed(seed)


def grey(*levels: int) -> Tensor:
    """Images (N, 1, 16, 16) of one grey level each."""
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 16, 16)


def test_draws_have_the_mean_and_the_covariance_of_the_images() -> None:
    mixing = torch.tensor([[20.0, 15, 0], [0, 10, -8], [0, 0, 12]])
    values = torch.randn(400, 3, generator=generator()) @ mixing + torch.tensor([90.0, 128, 160])
    images = values.round().clamp(0, 255).to(torch.uint8).view(400, 3, 1, 1)
    drawn = draw(images, 50_000, generator(1)).flatten(1).float()
    torch.testing.assert_close(drawn.mean(dim=0), images.flatten(1).float().mean(dim=0), atol=0.5, rtol=0)
    # Rounding adds the variance of a grey level, 1/12.
    expected = images.flatten(1).float().T.cov() + torch.eye(3) / 12
    torch.testing.assert_close(drawn.T.cov(), expected, atol=8, rtol=0.03)


def test_images_that_are_all_the_same_are_drawn_as_they_are() -> None:
    assert torch.equal(draw(grey(7, 7, 7), 5, generator()), grey(7, 7, 7, 7, 7))


def test_two_images_span_a_line_and_their_draws_lie_on_it() -> None:
    # Deviations of +-20 about 120, weighted by two normals: 120 + 20 sqrt(2) n.
    drawn = draw(grey(100, 140), 20_000, generator()).flatten(1).float()
    assert torch.equal(drawn.amin(dim=1), drawn.amax(dim=1))
    assert drawn.mean().item() == pytest.approx(120, abs=1)
    assert drawn[:, 0].std().item() == pytest.approx(20 * 2**0.5, rel=0.03)


def test_draws_beyond_black_and_white_are_clipped() -> None:
    drawn = draw(grey(0, 255), 2000, generator())
    assert (drawn == 0).float().mean().item() == pytest.approx(0.24, abs=0.04)
    assert (drawn == 255).float().mean().item() == pytest.approx(0.24, abs=0.04)


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        draw(grey(3), 2, generator())


def test_each_class_is_drawn_from_its_own_images_in_the_places_asked_for() -> None:
    data = ImageFolder(grey(1, 9, 1, 9), torch.tensor([0, 1, 0, 1]), ("a", "b"), ())
    drawn = draw_classes(data, torch.tensor([1, 0, 0, 1, 1]), seed=0, device=CPU)
    assert torch.equal(drawn, grey(9, 1, 1, 9, 9))


def test_a_class_of_one_image_is_refused_by_name() -> None:
    data = ImageFolder(grey(1, 1, 9), torch.tensor([0, 0, 1]), ("a", "b"), ())
    with pytest.raises(ValueError, match="class b: a covariance needs at least 2 images, got 1"):
        draw_classes(data, torch.tensor([0, 1]), seed=0, device=CPU)


def test_a_seed_draws_the_same_pictures_again() -> None:
    data = ImageFolder(grey(1, 90, 30, 7), torch.tensor([0, 0, 0, 0]), ("a",), ())
    first, again, other = (draw_classes(data, torch.zeros(9, dtype=torch.long), seed, CPU) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_shares_are_counted_by_class_whatever_the_order() -> None:
    judge = Judge(Brightness(), Architecture("small", 16, 1), CLASSES, 0.9)
    found = recognised(judge, grey(0, 2, 0, 1, 2), torch.tensor([0, 2, 1, 1, 2]), CLASSES)
    assert found == {"zero": 1.0, "one": 0.5, "two": 1.0}


def test_the_command_measures_a_gaussian_with_the_judge_and_on_its_features(
    make_pictures: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, test = make_pictures("train", count=32), make_pictures("test", count=8, seed=1)
    judge, features = str(tmp_path / "judge.safetensors"), str(tmp_path / "features.pt")
    toy = ["--image-size=16", "--width=8", "--epochs=15", "--batch-size=16", "--learning-rate=0.05"]
    assert classifier.main(["--data", str(train), "--test", str(test), "--out", judge, *toy]) == 0
    assert classifier_features.main(["--classifier", judge, "--out", features]) == 0
    capsys.readouterr()
    files = ["--data", str(train), "--reference", str(test), "--classifier", judge, "--features", features]
    files += ["--out", str(tmp_path / "sheet.png"), "--json", str(tmp_path / "figures.json")]
    assert pixel_gaussian.main([*files, "--samples", "30"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((tmp_path / "figures.json").read_text())
    # The pictures are noise of one colour: two moments are all there is to them.
    assert report["recognised"] == 1.0
    assert set(report["recognised_by_class"]) == {"blue", "green", "red"}
    assert (report["samples"], report["reference_images"], report["feature_count"]) == (30, 24, 40)
    assert report["frechet_distance"] > 0
    assert "24 images cannot fill 40 features" in report["warning"]
    assert (tmp_path / "sheet.png").is_file()
    assert pixel_gaussian.main([*files, "--samples", "1"]) == 2
