"""Rows of a batch to images: sampled, denoised, dropped on the way when nobody wants them any more.

Owns the rows, the padding that keeps a row's image independent of its neighbours, and the parts of a
batch that does not fit in memory. Knows nothing of requests.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from model import Sampler, TarFlow, denoise
from model.guidance import Guidance, Rule
from model.rows import Rows
from worker.halving import in_halves

# torch's matrix kernels for fewer rows round differently: with at least this many, an image is
# the same to the last bit however many share its batch (measured with AVX-512 on one thread).
FEWEST_ROWS = 16


@dataclass(frozen=True)
class Passage:
    """A batch after a flow block: `done` of `blocks` are behind it.

    Attributes:
        done: Blocks inverted.
        blocks: Blocks in all.
        images: (K, C, H, W) of the rows that are left, unclipped.
        owner: (K,) whose they are.
    """

    done: int
    blocks: int
    images: Tensor
    owner: Tensor

    def has(self, owner: int) -> bool:
        """Whether rows of this owner are here: where memory is short, a batch comes in parts."""
        return bool((self.owner == owner).any())

    def of(self, owner: int) -> Tensor:
        """An owner's images (n, C, H, W)."""
        return self.images[self.owner == owner]


# Told how far a batch is, says which owners' rows leave it.
BetweenBlocks = Callable[[Passage], frozenset[int]]


@dataclass(frozen=True)
class PaintedRows:
    """A batch, row by row: noise (N, T, D), and labels, guidance, temperature, denoise and owner, each (N,)."""

    noise: Tensor
    labels: Tensor
    guidance: Tensor
    temperature: Tensor
    denoise: Tensor
    owner: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: Tensor) -> Self:
        """The rows at `index`."""
        return type(self)(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def unguided(self) -> Self:
        """The same rows, plainly sampled."""
        return replace(self, guidance=torch.zeros_like(self.guidance))

    def noiseless(self) -> Self:
        """The same rows from no noise at all: the likeliest, so that weights that are sound make a picture of it."""
        return replace(self, noise=torch.zeros_like(self.noise))


@dataclass(frozen=True)
class Painter:
    """A flow and what it is sampled with."""

    flow: TarFlow
    sampler: Sampler
    annealed: bool

    def paint(self, rows: PaintedRows, rule: Rule, between_blocks: BetweenBlocks | None = None) -> Tensor:
        """Images (N, C, H, W); NaN where a row left the batch. In as few parts as memory allows."""
        index = torch.arange(len(rows), device=rows.labels.device)
        parts = in_halves(lambda part: self._paint(rows.select(part), rule, between_blocks), index)
        return torch.cat(parts)

    def _paint(self, rows: PaintedRows, rule: Rule, between_blocks: BetweenBlocks | None) -> Tensor:
        config = self.flow.config
        images = rows.noise.new_full((len(rows), config.in_channels, config.image_size, config.image_size), math.nan)
        kept, patches = self._sample(rows, rule, between_blocks)
        if len(kept):
            images[kept] = self._denoise(rows.select(kept), self.flow.unpatchify(patches))
        return images

    def _sample(
        self, rows: PaintedRows, rule: Rule, between_blocks: BetweenBlocks | None
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Which rows are left at the end, (K,), and their patches (K, T, D)."""
        kept = torch.arange(len(rows), device=rows.labels.device)
        fewest = 1 if self.sampler.rows_are_independent else FEWEST_ROWS
        padded = self._pad(rows, fewest)
        guided = self._guided(padded, rule)
        patches = self.sampler.start(padded.noise)
        for done, index in enumerate(reversed(range(self.flow.config.blocks)), start=1):
            patches = self.sampler.invert(index, patches, guided)
            if between_blocks is None:
                continue
            images = self.flow.unpatchify(patches[: len(kept)])
            leaving = between_blocks(Passage(done, self.flow.config.blocks, images, rows.owner[kept]))
            staying = torch.tensor([int(owner) not in leaving for owner in rows.owner[kept]], dtype=torch.bool)
            if not bool(staying.all()):
                still = torch.nonzero(staying).flatten().to(kept.device)
                kept, patches = kept[still], patches[still]
                left = self._pad(rows.select(kept), fewest) if len(kept) else rows.select(kept)
                guided = self._guided(left, rule)
                patches = patches[torch.arange(len(left), device=kept.device).clamp(max=max(0, len(kept) - 1))]
            if not len(kept):
                break
        return kept, patches[: len(kept)]

    def _guided(self, rows: PaintedRows, rule: Rule) -> Rows:
        labels = rows.labels if self.flow.config.num_classes else None
        return Rows.arrange(labels, Guidance(rows.guidance, annealed=self.annealed, rule=rule), rows.temperature)

    def _denoise(self, rows: PaintedRows, images: Tensor) -> Tensor:
        """The images, those that want it denoised."""
        wanted = torch.nonzero(rows.denoise).flatten()
        if not len(wanted):
            return images
        # Here the rows of the matrices are patches, so that fewer images are enough.
        fewest = math.ceil(FEWEST_ROWS / (self.flow.config.patches - 1))
        padded = self._pad(rows.select(wanted), fewest)
        noisy = images[wanted[torch.arange(len(padded), device=wanted.device).clamp(max=len(wanted) - 1)]]
        clean = denoise(self.flow, noisy, padded.labels if self.flow.config.num_classes else None)
        return images.index_copy(0, wanted, clean[: len(wanted)])

    def _pad(self, rows: PaintedRows, fewest: int) -> PaintedRows:
        """At least `fewest` rows; those beyond the given ones repeat the last, without guidance."""
        index = torch.arange(max(len(rows), fewest), device=rows.labels.device).clamp(max=len(rows) - 1)
        padded = rows.select(index)
        padded.guidance[len(rows) :] = 0  # a copy; guided, they would cost null rows too
        return padded
