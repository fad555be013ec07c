"""Owns the comparison with the published implementation's numbers, array by array; see ../golden/README.md.

The tolerances are tighter than the contract's, which would let a forgotten denoising step pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model import TarFlow, denoise, load, sample, trajectory

GOLDEN = Path(__file__).parents[1] / "golden"
CHANNELS = {"conditional": 3, "unconditional": 3, "volume_preserving": 1}
INPUTS = {"x", "y", "y_dropped", "noise", "noise_std"}


@dataclass(frozen=True)
class Golden:
    """A published network and the arrays that belong to it."""

    flow: TarFlow
    arrays: dict[str, Tensor]

    @property
    def labels(self) -> Tensor | None:
        """The labels most arrays were made with; None for an unconditional network."""
        return self.arrays.get("y")

    def encoded(self, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Latents, and the log-det in nats."""
        latents, log_abs_det = self.flow(self.arrays["x"], labels)
        return latents, log_abs_det

    def blocks(self) -> Tensor:
        """What each block makes of the images."""
        outputs = [self.flow.patchify(self.arrays["x"])]
        for block in self.flow.blocks:
            outputs.append(block(outputs[-1], self.labels)[0])
        return torch.stack(outputs[1:])

    def sampled(self, **options: object) -> Tensor:
        """Images of the golden noise under the golden labels."""
        given: dict[str, Any] = options
        return sample(self.flow, self.arrays["noise"], self.labels, **given)

    def sampled_without_class(self) -> Tensor:
        """Images of the golden noise under no class, guided by a blurred attention."""
        noise = self.arrays["noise"]
        return sample(self.flow, noise, None, guidance=0.3, annealed=True, attention_temperature=0.5)

    def sequence(self) -> Tensor:
        """The images after each block of the reverse pass, noise first."""
        return torch.stack(list(trajectory(self.flow, self.arrays["noise"], self.labels, guidance=0)))


REPRODUCED: dict[str, Callable[[Golden], Tensor]] = {
    "z": lambda golden: golden.encoded(golden.labels)[0],
    "z_dropped": lambda golden: golden.encoded(golden.arrays["y_dropped"])[0],
    "z_null": lambda golden: golden.encoded(None)[0],
    "logdet_per_dim": lambda golden: golden.encoded(golden.labels)[1],
    "logdet_per_dim_dropped": lambda golden: golden.encoded(golden.arrays["y_dropped"])[1],
    "logdet_per_dim_null": lambda golden: golden.encoded(None)[1],
    "log_prob_std_normal": lambda golden: golden.flow.standard_log_prob(golden.arrays["x"], golden.labels),
    "blocks": Golden.blocks,
    "sample_plain": lambda golden: golden.sampled(guidance=0),
    "sample_guidance2": lambda golden: golden.sampled(guidance=2),
    "sample_guidance2_a": lambda golden: golden.sampled(guidance=2, guide=("scale",)),
    "sample_guidance2_b": lambda golden: golden.sampled(guidance=2, guide=("shift",)),
    "sample_guidance1.5_annealed": lambda golden: golden.sampled(guidance=1.5, annealed=True),
    "sample_uncond_guidance0.3_temp0.5_annealed": Golden.sampled_without_class,
    "sequence_plain": Golden.sequence,
    "denoised_plain": lambda golden: denoise(golden.flow, golden.arrays["sample_plain"], golden.labels),
}


def names_in(network: str) -> list[str]:
    """The names of a network's arrays."""
    with np.load(GOLDEN / f"{network}.npz") as arrays:
        return list(arrays)


@cache
def golden(network: str) -> Golden:
    """A network loaded as a published file, with its arrays."""
    with np.load(GOLDEN / f"{network}.npz") as file:
        arrays = {name: torch.from_numpy(np.asarray(file[name])) for name in file}
    noise_std = arrays["noise_std"].item()
    return Golden(load(GOLDEN / f"{network}.pth", in_channels=CHANNELS[network], noise_std=noise_std), arrays)


def expected(golden: Golden, name: str) -> Tensor:
    """A golden array in our units: log-dets are averaged over an image's values there, summed in nats here."""
    return golden.arrays[name] * (golden.flow.config.dims if name.startswith("logdet") else 1)


def tolerance(name: str) -> dict[str, Any]:
    """Sampling compounds rounding; a log-density near 900 nats has float32 steps of 6e-5."""
    if name.startswith(("sample", "sequence")):
        return {"rtol": 1e-4, "atol": 1e-4}
    return {"rtol": 0.0, "atol": 1e-3 if name.startswith("log_prob") else 1e-4}


@pytest.mark.parametrize(
    ("network", "name"), [(network, name) for network in CHANNELS for name in names_in(network) if name in REPRODUCED]
)
def test_the_published_array_is_reproduced(network: str, name: str) -> None:
    reference = golden(network)
    torch.testing.assert_close(REPRODUCED[name](reference), expected(reference, name), **tolerance(name))


@pytest.mark.parametrize("network", CHANNELS)
def test_no_published_array_is_left_unchecked(network: str) -> None:
    assert set(names_in(network)) <= INPUTS | set(REPRODUCED)


def test_no_published_network_is_left_unchecked() -> None:
    assert {file.stem for file in GOLDEN.glob("*.npz")} == set(CHANNELS)
