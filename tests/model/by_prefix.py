"""The yardstick of every way to sample.

Owns the textbook inversion, which runs the whole network on every prefix anew and both branches one
after the other, and what it is asked for. Knows no cache, no null rows and no law.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from model import TarFlow
from model.flow_block import FlowBlock
from model.guidance import Guidance
from model.rows import Rows

LABELS = torch.tensor([0, 2, -1, 1])


def prior_noise(rows: int = len(LABELS)) -> Tensor:
    """Standard normal latents of a tiny flow's size."""
    return torch.randn(rows, 9, 8, dtype=torch.float64)


def per_row(value: float | list[float], rows: int) -> Tensor:
    """(rows,) float64 of one number for all, or one for each."""
    return torch.tensor(value, dtype=torch.float64).expand(rows)


@dataclass(frozen=True)
class Asked:
    """What the rows of a batch ask for: classes, guidance, temperatures (N,) of the null branch's attention."""

    labels: Tensor | None
    guidance: Guidance
    temperature: Tensor

    @classmethod
    def of(
        cls,
        weight: float | list[float] = 1.5,
        labels: Tensor | None = LABELS,
        temperature: float | list[float] = 1.0,
        rows: int = len(LABELS),
        **rule: Any,
    ) -> Self:
        """One number for all rows, or one for each."""
        return cls(labels, Guidance(per_row(weight, rows), **rule), per_row(temperature, rows))

    def without_class(self) -> Self:
        """The same without labels, as a flow of no classes takes it."""
        return type(self)(None, self.guidance, self.temperature)

    def rows(self, dtype: torch.dtype = torch.float64) -> Rows:
        """The rows that sampling arranges for this."""
        guidance = self.guidance
        weighted = Guidance(guidance.weight.to(dtype), guidance.guide, guidance.annealed, guidance.rule)
        return Rows.arrange(self.labels, weighted, self.temperature.to(dtype))


def after_prefix(block: FlowBlock, prefix: Tensor, labels: Tensor | None, sharpness: Tensor) -> tuple[Tensor, Tensor]:
    """Log-scale and shift (N, 1, D) of the patch after `prefix`, the whole network run on all of it."""
    class_vectors = block.class_vectors(labels, len(prefix))
    return block.affine(block.conditioners(prefix, class_vectors, sharpness.view(-1, 1, 1, 1))[:, -1:])


@torch.no_grad()
def inverted_by_prefix(block: FlowBlock, latents: Tensor, asked: Asked) -> Tensor:
    """Patches x (N, T, D) with block(x) = latents, both in the block's order."""
    done, steps = latents[:, :1], latents.shape[1] - 1
    for step in range(steps):
        conditional = after_prefix(block, done, asked.labels, torch.ones_like(asked.temperature))
        null = after_prefix(block, done, None, 1 / asked.temperature)
        log_scale, shift = asked.guidance.combine(conditional, null, (step + 1) / steps)
        done = torch.cat([done, latents[:, step + 1 : step + 2] * log_scale.exp() + shift], dim=1)
    return done


def sampled_by_prefix(flow: TarFlow, noise: Tensor, asked: Asked) -> Tensor:
    """Images (N, C, H, W)."""
    patches = noise * flow.var.sqrt()
    for block in reversed(flow.blocks):
        patches = block.orient(inverted_by_prefix(block, block.orient(patches), asked))
    return flow.unpatchify(patches)
