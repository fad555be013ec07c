"""What turns images into features: a TorchScript file, or Inception v3 with weights at hand.

Owns the contract of such a file and the checks on it. Downloads nothing. Knows nothing of what features are for.

The contract: a module that takes uint8 pixels (N, C, H, W) of the flow's size and gives floats (N, F). Scaling
and resizing are the module's own. TorchScript is a program: load only files of those you trust.
"""

import hashlib
import io
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

INCEPTION_FEATURES = "2048"  # the last pooling layer, which FID is defined on
INSTALL = ".venv/bin/pip install -e '.[inception]' in the repository"


@dataclass(frozen=True)
class FeatureExtractor:
    """A network and the name its figures go by: the file's, with the start of its SHA-256."""

    name: str
    network: Callable[[Tensor], Tensor]
    device: torch.device

    @torch.no_grad()
    def features(self, pixels: Tensor, batch_size: int) -> Tensor:
        """Features (N, F) in float64, on the CPU, of uint8 pixels (N, C, H, W).

        Raises:
            ValueError: A feature is not finite.
        """
        parts = [self.network(batch.to(self.device)).double().cpu() for batch in pixels.split(batch_size)]
        features = torch.cat(parts)
        if not bool(features.isfinite().all()):
            raise ValueError(f"{self.name}: {int((~features.isfinite()).sum())} features are not finite")
        return features

    def check(self, channels: int, side: int) -> None:
        """Raise ValueError unless the network gives a row of floats for each image (channels, side, side)."""
        shape = (2, channels, side, side)
        try:
            found = self.network(torch.zeros(shape, dtype=torch.uint8, device=self.device))
        except (RuntimeError, TypeError, ValueError) as error:
            said = str(error).strip().splitlines() or [repr(error)]
            raise ValueError(f"{self.name}: fails on uint8 pixels {shape}: {said[-1]}") from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != 2 or not found.is_floating_point():
            got = f"{tuple(found.shape)} {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"{self.name}: uint8 pixels {shape} must give floats (2, F), got {got}")


def load_torchscript(file: Path, device: torch.device) -> FeatureExtractor:
    """The module in a TorchScript file.

    Raises:
        ValueError: It cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated, not gone, and still the one format that needs no code of the network's.
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(str(file), map_location=device).eval()
        return FeatureExtractor(_name(file), network, device)
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueError(f"--features {file}: not a TorchScript file: {str(error).splitlines()[0]}") from error


def load_inception(file: Path, device: torch.device) -> FeatureExtractor:
    """Inception v3 as FID is defined on, by torch-fidelity, with the weights in its state dict `file`.

    Grey images are given it as RGB.

    Raises:
        ValueError: torch-fidelity is not installed, or the file is not its state dict.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:  # a torchvision of another torch fails as a RuntimeError
        raise ValueError(f"--inception needs torch-fidelity ({INSTALL}): {error}") from error
    try:
        # It would unpickle whatever the file holds: it gets tensors alone.
        tensors = io.BytesIO()
        torch.save(torch.load(file, map_location="cpu", weights_only=True), tensors)
        tensors.seek(0)
        network = FeatureExtractorInceptionV3("inception", [INCEPTION_FEATURES], feature_extractor_weights_path=tensors)
    except (RuntimeError, ValueError, OSError, EOFError, TypeError, pickle.UnpicklingError) as error:
        raise ValueError(f"--inception {file}: not torch-fidelity's weights: {str(error).splitlines()[0]}") from error
    return FeatureExtractor(_name(file), _as_rgb(network.to(device)), device)


def _as_rgb(network: Any) -> Callable[[Tensor], Tensor]:
    def features(pixels: Tensor) -> Tensor:
        (found,) = network(pixels.expand(-1, 3, -1, -1))
        return found

    return features


def _name(file: Path) -> str:
    with file.open("rb") as stream:
        return f"{file.name} (SHA-256 {hashlib.file_digest(stream, 'sha256').hexdigest()[:12]})"
