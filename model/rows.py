"""The rows of a sampling batch: what is asked for, and the null rows that guidance adds.

Owns their order, which of them need a null row, and the folding of two predictions into one.
Knows nothing of networks.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from model.guidance import Guidance


@dataclass(frozen=True)
class Rows:
    """What each row of the network's batch is: N request rows, then a null row for each of `guided`.

    Attributes:
        labels: (rows,) int64, -1 = no class; None = no class throughout.
        guided: (G,) request rows that have a null row, in its order.
        guidance: One weight per request row.
        query_scale: (rows, 1, 1, 1) factors of the attention logits, or None where all are 1.
    """

    labels: Tensor | None
    guided: Tensor
    guidance: Guidance
    query_scale: Tensor | None

    def __len__(self) -> int:
        return self.requests + len(self.guided)

    @property
    def requests(self) -> int:
        """Request rows: as many as images come out."""
        return len(self.guidance.weight)

    @classmethod
    def arrange(cls, labels: Tensor | None, guidance: Guidance, temperature: Tensor) -> Self:
        """Give every row that guidance can move a null row: no class, attention at its temperature (N,)."""
        weight = guidance.weight
        movable = temperature != 1 if labels is None else (labels >= 0) | (temperature != 1)
        guided = torch.nonzero((weight != 0) & movable).flatten()
        if labels is not None:
            labels = torch.cat([labels, labels.new_full((len(guided),), -1)])
        query_scale = None
        if bool((temperature[guided] != 1).any()):
            query_scale = torch.cat([torch.ones_like(temperature), 1 / temperature[guided]]).view(-1, 1, 1, 1)
        return cls(labels, guided, guidance, query_scale)

    @classmethod
    def plain(cls, noise: Tensor) -> Self:
        """Rows without class or guidance for noise (N, ...)."""
        return cls.arrange(None, Guidance(noise.new_zeros(len(noise))), noise.new_ones(len(noise)))

    def select(self, index: Tensor) -> Self:
        """The request rows at `index`, with their null rows."""
        null_rows = self.null_rows()[index]
        guided = torch.nonzero(null_rows >= 0).flatten()
        source = torch.cat([index, null_rows[guided]])
        return type(self)(
            labels=None if self.labels is None else self.labels[source],
            guided=guided,
            guidance=replace(self.guidance, weight=self.guidance.weight[index]),
            query_scale=None if self.query_scale is None else self.query_scale[source],
        )

    def null_rows(self) -> Tensor:
        """The null row of each request row, (N,), -1 = it has none."""
        rows = torch.full((self.requests,), -1, device=self.guided.device)
        rows[self.guided] = torch.arange(self.requests, len(self), device=self.guided.device)
        return rows

    def spread(self, patches: Tensor) -> Tensor:
        """Patches (N, ...) of the request rows for every row of the network."""
        return torch.cat([patches, patches[self.guided]]) if len(self.guided) else patches

    def fold(self, log_scale: Tensor, shift: Tensor, progress: float | Tensor) -> tuple[Tensor, Tensor]:
        """Guided predictions (N, L, D) of the request rows from those (rows, L, D) of all; see `Guidance.combine`."""
        if not len(self.guided):
            return log_scale, shift
        conditional = log_scale[: self.requests], shift[: self.requests]
        null = conditional[0].clone(), conditional[1].clone()
        null[0][self.guided], null[1][self.guided] = log_scale[self.requests :], shift[self.requests :]
        return self.guidance.combine(conditional, null, progress)
