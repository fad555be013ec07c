"""How the conditional and the null prediction of a patch become one.

Owns the guidance rules and the weight at each position. Knows nothing of networks.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Rule = Literal["linear", "corrected"]
Part = Literal["scale", "shift"]


@dataclass(frozen=True)
class Guidance:
    """Guidance of a batch: one weight per row, one rule for all.

    Attributes:
        weight: (N,) weights, 0 = plain sampling.
        guide: Which of the affine parts are guided.
        annealed: Let the weight grow linearly within each block, to w at its end, instead of w throughout.
        rule: `linear` extrapolation (arXiv 2412.06329), or `corrected` (arXiv 2506.06276,
            section 3.4), which stays stable at large weights.

    Raises:
        ValueError: An unknown part or rule.
    """

    weight: Tensor
    guide: tuple[Part, ...] = ("scale", "shift")
    annealed: bool = False
    rule: Rule = "linear"

    def __post_init__(self) -> None:
        if isinstance(self.guide, str) or set(self.guide) - set(get_args(Part)):
            raise ValueError(f"guide must be a tuple of {get_args(Part)}, got {self.guide!r}")
        if self.rule not in get_args(Rule):
            raise ValueError(f"rule must be one of {get_args(Rule)}, got {self.rule!r}")

    def combine(
        self, conditional: tuple[Tensor, Tensor], null: tuple[Tensor, Tensor], progress: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Guided (log-scale, shift) from the two predictions, each a pair of (N, L, D).

        `progress` is (i + 1) / (T - 1) for the patch predicted at step i: a number, or (L, 1) for L patches.
        """
        weight = self.weight.view(-1, 1, 1) * (progress if self.annealed else 1.0)
        rule = _corrected if self.rule == "corrected" else _linear
        log_scale, shift = rule(conditional, null, weight)
        return (
            log_scale if "scale" in self.guide else conditional[0],
            shift if "shift" in self.guide else conditional[1],
        )


def _linear(conditional: tuple[Tensor, Tensor], null: tuple[Tensor, Tensor], weight: Tensor) -> tuple[Tensor, Tensor]:
    """a + w (a - a_null), m + w (m - m_null)."""
    return (
        conditional[0] + weight * (conditional[0] - null[0]),
        conditional[1] + weight * (conditional[1] - null[1]),
    )


def _corrected(
    conditional: tuple[Tensor, Tensor], null: tuple[Tensor, Tensor], weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Product of Gaussians p_c^(1+w) / p_n^w with the null precision capped at the conditional's.

    s = min(var_c / var_n, 1), var' = var_c / (1 + w - w s),
    mean' = ((1 + w) mean_c - w s mean_n) / (1 + w - w s).
    """
    ratio = torch.exp(2 * (conditional[0] - null[0])).clamp(max=1)
    precision = 1 + weight - weight * ratio
    log_scale = conditional[0] - 0.5 * precision.log()
    return log_scale, ((1 + weight) * conditional[1] - weight * ratio * null[1]) / precision
