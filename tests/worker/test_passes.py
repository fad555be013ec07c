"""Laws of the passes of a batch: made in chunks of at most so many, told of between two, and none for who has left."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from worker.contract import CHUNK_PASSES as CHUNK
from worker.passes import Passes, Share

Told = list[tuple[Share | None, ...]]


class Listener:
    """Remembers what is told; the requests `leaving` are dropped at the first occasion."""

    def __init__(self, *leaving: int) -> None:
        self.told: Told = []
        self.leaving = frozenset(leaving)

    def __call__(self, shares: Sequence[Share | None]) -> frozenset[int]:
        """Be told."""
        self.told.append(tuple(shares))
        return self.leaving


def owners(*counts: int) -> Tensor:
    """Rows of requests that have so many each."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


@pytest.mark.parametrize("rows", [1, CHUNK, CHUNK + 1, 1000])
def test_every_row_is_passed_once_and_no_chunk_is_larger_than_is_promised(rows: int) -> None:
    chunks = list(Passes([rows]).chunks(owners(rows)))
    assert torch.equal(torch.cat(chunks), torch.arange(rows))
    assert max(map(len, chunks)) <= CHUNK


@pytest.mark.parametrize(
    ("rows", "occasions"),
    [(1, 0), (CHUNK, 0), (CHUNK + 1, 1), (2 * CHUNK, 1), (10 * CHUNK, 9)],
)
def test_there_is_an_occasion_between_two_chunks_and_none_after_the_last(rows: int, occasions: int) -> None:
    listener = Listener()
    list(Passes([rows], listener).chunks(owners(rows)))
    assert [each for (each,) in listener.told] == [Share(CHUNK * (index + 1), rows) for index in range(occasions)]


def test_each_request_is_told_of_its_own_passes() -> None:
    listener = Listener()
    list(Passes([10, 100], listener).chunks(owners(10, 100)))
    assert listener.told == [(Share(10, 10), Share(CHUNK - 10, 100))]


def test_the_passes_of_several_stages_add_up() -> None:
    listener = Listener()
    passes = Passes([3 * CHUNK], listener)
    for _ in range(3):
        list(passes.chunks(owners(CHUNK)))
    assert [each.done for (each,) in listener.told if each] == [CHUNK, 2 * CHUNK]


def test_who_leaves_takes_his_rows_along_and_no_others() -> None:
    listener = Listener(0)
    passes, owner = Passes([1000, 100], listener), owners(1000, 100)
    rows = torch.cat(list(passes.chunks(owner)))
    assert owner[rows].bincount().tolist() == [CHUNK, 100]
    assert listener.told[1:] == [(None, Share(CHUNK, 100))]


def test_when_all_have_left_nothing_more_is_passed_in_any_stage() -> None:
    passes = Passes([1000], Listener(0))
    assert [sum(map(len, passes.chunks(owners(500)))) for _ in range(2)] == [CHUNK, 0]
