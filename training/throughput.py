"""How much arithmetic training does, and how much a device could do.

Owns a flow's operations in closed form and the peaks of known GPUs. Knows nothing of clocks.
"""

import re
from dataclasses import dataclass

import torch

from model import TarFlowConfig
from model.transformer import MLP_EXPANSION
from training.objective import class_passes

# Dense bfloat16 with float32 sums, in operations per second, by the makers' data sheets; a name
# that holds another must stand before it.
PEAKS = {
    "B200": 2250e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
# A gradient costs twice the forward pass: one product for the inputs, one for the weights.
PASSES = 3


def forward_flops(config: TarFlowConfig) -> int:
    """Operations of the matrix products that log p of one image takes; a multiplication and an addition are two.

    Attention counts whole, as papers count it, though the causal half would do.
    """
    length, width = config.patches - 1, config.channels
    outputs = config.patch_dims * (1 if config.volume_preserving else 2)
    weights = (4 + 2 * MLP_EXPANSION) * width**2
    layer = 2 * length * weights + 4 * length**2 * width
    ends = 2 * length * width * (config.patch_dims + outputs)
    return config.blocks * (config.layers_per_block * layer + ends)


def training_flops(config: TarFlowConfig, with_classes: bool = False) -> float:
    """Operations of one training step for one image, nothing recomputed; also those that `--class-weight` adds."""
    added = class_passes(config.num_classes) if with_classes else 0
    return (PASSES + added) * forward_flops(config)


@dataclass(frozen=True)
class Throughput:
    """What images a second come to.

    Attributes:
        flops_per_image: Operations of a training step for one image.
        peak_flops_per_s: What all devices could do together; None where it is not known.
    """

    flops_per_image: float
    peak_flops_per_s: float | None

    def told(self, images_per_s: float) -> dict[str, float | None]:
        """As the log tells it."""
        flops_per_s, peak = self.flops_per_image * images_per_s, self.peak_flops_per_s
        return {
            "images_per_s": round(images_per_s, 3),
            "model_flops_per_s": float(f"{flops_per_s:.4g}"),
            "mfu": round(flops_per_s / peak, 5) if peak else None,
        }


def peak_flops_per_s(device: torch.device) -> float | None:
    """The device's dense bfloat16 peak; None where it is not known."""
    return peak_of(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def peak_of(name: str) -> float | None:
    """The peak of a GPU by its maker's name for it."""
    found = (peak for known, peak in PEAKS.items() if re.search(rf"\b{known}(?![0-9])", name))
    return next(found, None)
