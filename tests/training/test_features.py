"""Owns the laws of feature extractors: what a TorchScript file must give, and that nothing is fetched."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.features import FeatureExtractor, load_inception, load_torchscript

CPU = torch.device("cpu")


class Means(nn.Module):
    """The mean and the largest value of each image."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (N, 2)."""
        flat = pixels.float().flatten(1)
        return torch.stack([flat.mean(1), flat.amax(1)], 1)


class Folded(nn.Module):
    """Features of a batch as a whole."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Feature (1, N)."""
        return pixels.float().flatten(1).mean(1)[None]


class Levels(nn.Module):
    """Features that are no floats."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Grey levels (N, values)."""
        return pixels.flatten(1)


class Wide(nn.Module):
    """Takes images of 49 values alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(49, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (N, 2)."""
        return self.layer(pixels.float().flatten(1))


class Broken(nn.Module):
    """Features that are not finite for a bright image."""

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (N, 1)."""
        return 1 / (255 - pixels.float().flatten(1).amax(1, keepdim=True))


@pytest.fixture
def make_extractor(tmp_path: Path) -> Callable[[nn.Module], FeatureExtractor]:
    """A maker of extractors that were a file."""

    def make(module: nn.Module) -> FeatureExtractor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.script(module).save(str(tmp_path / "features.pt"))
        return load_torchscript(tmp_path / "features.pt", CPU)

    return make


Maker = Callable[[nn.Module], FeatureExtractor]


def grey(*levels: int) -> Tensor:
    """Images (N, 1, 8, 8) of one grey level each."""
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()


def test_a_module_gets_8_bit_pixels_and_its_features_come_back(make_extractor: Maker) -> None:
    found = make_extractor(Means()).features(grey(3, 250, 7), batch_size=2)
    torch.testing.assert_close(found, torch.tensor([[3, 3], [250, 250], [7, 7]], dtype=torch.float64))


def test_figures_go_by_the_file_and_its_digest(make_extractor: Maker) -> None:
    first, second = make_extractor(Means()).name, make_extractor(Broken()).name
    assert first.startswith("features.pt (SHA-256 ")
    assert first != second


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Folded(), r"must give floats \(2, F\), got \(1, 2\) torch.float32"),
        (Levels(), r"must give floats \(2, F\), got \(2, 64\) torch.uint8"),
        (Wide(), r"fails on uint8 pixels \(2, 1, 8, 8\)"),
    ],
)
def test_a_module_that_breaks_the_contract_is_refused(make_extractor: Maker, module: nn.Module, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_extractor(module).check(channels=1, side=8)


def test_a_module_that_keeps_the_contract_passes(make_extractor: Maker) -> None:
    make_extractor(Means()).check(channels=3, side=16)


def test_features_that_are_not_finite_are_refused(make_extractor: Maker) -> None:
    with pytest.raises(ValueError, match="1 features are not finite"):
        make_extractor(Broken()).features(grey(1, 255), batch_size=2)


def test_a_file_that_is_no_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "features.pt").write_bytes(b"not a module")
    with pytest.raises(ValueError, match=r"--features .*features\.pt: not a TorchScript file"):
        load_torchscript(tmp_path / "features.pt", CPU)


def torch_fidelity_is_there() -> bool:
    """Whether it can be imported; a torchvision of another torch fails as a RuntimeError."""
    try:
        import torch_fidelity  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


@pytest.mark.skipif(torch_fidelity_is_there(), reason="torch-fidelity is installed")
def test_inception_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    install = re.escape(".venv/bin/pip install -e '.[inception]' in the repository")
    with pytest.raises(ValueError, match=rf"--inception needs torch-fidelity \({install}\)"):
        load_inception(tmp_path / "weights.pth", CPU)


@pytest.mark.skipif(not torch_fidelity_is_there(), reason="needs torch-fidelity")
def test_a_file_that_is_no_inception_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({"layer": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"--inception .*weights\.pth: not torch-fidelity's weights"):
        load_inception(tmp_path / "weights.pth", CPU)
