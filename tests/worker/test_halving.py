"""Owns the laws of a batch that does not fit: it is halved until it does, and nothing else is taken for that."""

import pytest
import torch
from torch import Tensor

from model import denoise
from tests.worker.conftest import EngineMaker, generate_request, made
from worker import painter
from worker.halving import in_halves


class Memory:
    """Work that needs a unit of memory a row, where there are `units`."""

    def __init__(self, units: int, error: Exception) -> None:
        self.units, self.error = units, error
        self.tried: list[int] = []

    def __call__(self, index: Tensor) -> list[int]:
        """The rows, if they fit."""
        self.tried.append(len(index))
        if len(index) > self.units:
            raise self.error
        return index.tolist()


FULL = torch.OutOfMemoryError("CUDA out of memory")


def test_what_fits_is_done_in_one_part() -> None:
    memory = Memory(8, FULL)
    assert in_halves(memory, torch.arange(8)) == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert memory.tried == [8]


@pytest.mark.parametrize("rows", [3, 7, 16])
@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_what_does_not_fit_is_halved_until_it_does_and_stays_in_order(rows: int, error: Exception) -> None:
    parts = in_halves(Memory(2, error), torch.arange(rows))
    assert [row for part in parts for row in part] == list(range(rows))


def test_a_single_row_that_does_not_fit_fails() -> None:
    memory = Memory(0, FULL)
    with pytest.raises(torch.OutOfMemoryError):
        in_halves(memory, torch.arange(4))
    assert memory.tried == [4, 2, 1]


def test_another_failure_is_not_tried_again() -> None:
    memory = Memory(2, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        in_halves(memory, torch.arange(4))
    assert memory.tried == [4]


def test_pictures_of_a_batch_that_did_not_fit_are_the_pictures_it_would_have_had(
    make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()
    requests = [generate_request(engine, seed=seed, n=6, denoise=True) for seed in (1, 50)]
    expected = [each.pixels for each in made(engine, *requests)]
    widths = []

    def denoise_few(*arguments: Tensor) -> Tensor:
        widths.append(len(arguments[1]))
        if len(arguments[1]) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return denoise(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(painter, "denoise", denoise_few)
    found = [each.pixels for each in made(engine, *requests)]
    assert max(widths) == 12
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
