"""The forward passes of a batch of scorings: what each costs, how far each is, and who has left.

Owns the chunks in which passes are made, and what is told between two of them. Knows nothing of flows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from worker.contract import CHUNK_PASSES


@dataclass(frozen=True)
class Share:
    """How far some work is: steps done, of so many; those of a scoring are forward passes."""

    done: int
    steps: int


# Told between two chunks how far each request is, None for those that have left; says which leave.
BetweenChunks = Callable[[Sequence[Share | None]], frozenset[int]]


@dataclass
class Passes:
    """The passes of a batch: as many as `totals` has for each request."""

    totals: Sequence[int]
    between: BetweenChunks | None = None
    left: set[int] = field(default_factory=set)
    _done: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nothing is done yet."""
        self._done = [0] * len(self.totals)

    def chunks(self, owner: Tensor) -> Iterator[Tensor]:
        """Rows to pass through the flow together, of rows that belong to requests `owner` (P,), in order.

        Rows of who has left are passed over.
        """
        rows = torch.arange(len(owner))
        while len(rows := self._wanted(rows, owner)):
            chunk, rows = rows[:CHUNK_PASSES], rows[CHUNK_PASSES:]
            yield chunk
            for each in owner[chunk].tolist():
                self._done[each] += 1
            self._look_up()

    def _wanted(self, rows: Tensor, owner: Tensor) -> Tensor:
        return rows[~torch.isin(owner[rows], torch.tensor(sorted(self.left), dtype=owner.dtype))] if self.left else rows

    def _look_up(self) -> None:
        """Tell how far all are, unless they are done."""
        shares = [None if index in self.left else Share(*each) for index, each in enumerate(self._pairs())]
        if self.between is not None and any(each and each.done < each.steps for each in shares):
            self.left |= self.between(shares)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        return zip(self._done, self.totals, strict=True)
