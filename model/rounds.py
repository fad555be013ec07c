"""A flow block inverted in rounds: all patches at once, again and again, until they stand still.

Owns the rounds, the window that shrinks as patches become final, and the certificate: the
residual of the result, checked. Knows nothing of when rounds pay.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.cache import KeyValueCache
from model.flow import TarFlow
from model.flow_block import FlowBlock
from model.rows import Rows
from model.stepwise import Inverter

TOLERANCE = 1e-4
MOST_ROUNDS = 32


@dataclass(frozen=True)
class Rounds:
    """Jacobi iteration of x = z * exp(a(x)) + m(x), which after T - 1 rounds is the serial result.

    Patch i + 1 depends on patches up to i alone, so that every round makes at least one more
    patch final; it leaves the window, and its keys and values stay. The rounds end when no
    patch moves by more than the tolerance. The check bounds the residual, not the distance to
    the serial result, and how many rounds a row takes depends on its neighbours: rows are equal
    to within a fraction of a grey level, not to the last bit.

    Attributes:
        flow: The flow to invert.
        exact: Inverts the rows whose residual is too large.
        tolerance: Largest residual |x - (z * exp(a(x)) + m(x))| of a value, images in [-1, 1].
        most_rounds: Rounds after which what still moves is left to `exact`.
    """

    flow: TarFlow
    exact: Inverter
    tolerance: float = TOLERANCE
    most_rounds: int = MOST_ROUNDS

    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `Inverter`; every row returned has passed the check or comes from `exact`."""
        block, patches = self.flow.blocks[index], latents.clone()
        window = _Window(block, latents, rows, KeyValueCache.allocate(self.flow.config, len(rows), block.pos_embed))
        final, last, rounds = 0, latents.shape[1] - 1, 0
        while final < last and rounds < self.most_rounds:
            renewed = window.renewed(patches, final)
            moved = (renewed - patches[:, final + 1 :]).abs().amax(dim=2)
            patches[:, final + 1 :] = renewed
            final += _settled(moved, self.tolerance)
            rounds += 1
        residual = (window.renewed(patches, 0) - patches[:, 1:]).abs().amax(dim=(1, 2))
        failed = torch.nonzero(~(residual <= self.tolerance)).flatten()
        if len(failed):
            patches[failed] = self.exact.invert(index, latents[failed], rows.select(failed))
        return patches


def _settled(moved: Tensor, tolerance: float) -> int:
    """How many patches from the first of the window on are final in every row, given how far each moved (N, L)."""
    # A patch is final when those before it stood still; before the first of the window all are final.
    still = (moved[:, :-1] <= tolerance).all(dim=0)
    return 1 + int(still.long().cumprod(dim=0).sum())


@dataclass(frozen=True)
class _Window:
    """One block over one batch."""

    block: FlowBlock
    latents: Tensor
    rows: Rows
    cache: KeyValueCache

    def renewed(self, patches: Tensor, first: int) -> Tensor:
        """Every patch after `first`, (N, T - 1 - first, D), predicted from those before it."""
        steps = patches.shape[1] - 1
        class_vectors = self.block.class_vectors(self.rows.labels, len(self.rows))
        current = self.rows.spread(patches[:, first:steps])
        predicted = self.block.extend(current, class_vectors, first, self.cache, self.rows.query_scale)
        progress = torch.arange(first + 1, steps + 1, device=patches.device, dtype=patches.dtype) / steps
        log_scale, shift = self.rows.fold(*predicted, progress.unsqueeze(1))
        return self.latents[:, first + 1 :] * log_scale.exp() + shift
