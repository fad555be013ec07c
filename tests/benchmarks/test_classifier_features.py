"""Owns the laws of a judge's features: what they are, and that `tarflow evaluate` can read them."""

from pathlib import Path

import pytest
import torch

from benchmarks.classifier import Judge, save_judge
from benchmarks.classifier_features import main
from benchmarks.networks import Architecture, build
from training.features import load_torchscript

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("architecture", "count"),
    [(Architecture("small", 28, 1), 128), (Architecture("residual", 32, 3), 320), (Architecture("small", 16, 3), 128)],
)
def test_the_features_are_the_values_before_the_last_layer(
    architecture: Architecture, count: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = build(architecture, 10).eval()
    save_judge(Judge(network, architecture, tuple("0123456789"), 0.5), tmp_path / "judge.safetensors", "made here")
    file, out = tmp_path / "judge.safetensors", tmp_path / "features.pt"
    assert main(["--classifier", str(file), "--out", str(out)]) == 0
    extractor = load_torchscript(out, CPU)
    extractor.check(architecture.in_channels, architecture.image_size)
    side = architecture.image_size
    pixels = torch.randint(256, (5, architecture.in_channels, side, side), dtype=torch.uint8)
    found = extractor.features(pixels, batch_size=3)
    assert found.shape == (5, count)
    with torch.no_grad():
        torch.testing.assert_close(network.layers[-1](found.float()), network(pixels))


def test_a_file_that_is_no_judge_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "judge.safetensors").write_bytes(b"not a judge")
    assert main(["--classifier", str(tmp_path / "judge.safetensors"), "--out", str(tmp_path / "f.pt")]) == 2
    assert "not a classifier" in capsys.readouterr().err
