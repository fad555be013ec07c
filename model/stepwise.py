"""A flow block inverted patch after patch, in plain torch.

Owns the serial loop that runs on every device and in every dtype. Knows nothing of images.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from model.cache import KeyValueCache
from model.flow import TarFlow
from model.rows import Rows


class Inverter(Protocol):
    """Something that inverts the blocks of a flow; equation (5) of arXiv 2412.06329."""

    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """Patches x (N, T, D) with block(x) = latents, both in the order of the block at `index`."""
        ...


@dataclass(frozen=True)
class Stepwise:
    """T - 1 steps in each block, each of them a handful of torch calls."""

    flow: TarFlow

    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `Inverter`."""
        block, patches, steps = self.flow.blocks[index], latents.clone(), latents.shape[1] - 1
        cache = KeyValueCache.allocate(self.flow.config, len(rows), like=block.pos_embed)
        class_vectors = block.class_vectors(rows.labels, len(rows))
        for step in range(steps):
            current = rows.spread(patches[:, step : step + 1])
            predicted = block.extend(current, class_vectors, step, cache, rows.query_scale)
            log_scale, shift = rows.fold(*predicted, (step + 1) / steps)
            patches[:, step + 1 : step + 2] = latents[:, step + 1 : step + 2] * log_scale.exp() + shift
        return patches
