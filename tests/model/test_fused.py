"""Owns the laws of the compiled loop: rows are independent to the last bit, and without it sampling still works.

That it inverts a block as the textbook does is a law of all ways; see `test_inverters`.
"""

import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from model import Sampler, TarFlow, load, sample
from model.fused import MOST_ROWS, Fused, load_kernel
from model.rounds import Rounds
from model.rows import Rows
from model.stepwise import Stepwise
from tests.model.by_prefix import Asked

numba = pytest.importorskip("numba")

FlowMaker = Callable[..., TarFlow]
KERNEL = "model.fused_kernel"
ROWS = 40


@pytest.fixture
def small_flow(make_flow: FlowMaker) -> TarFlow:
    """A float32 flow whose matrices do not fill their panels."""
    flow = make_flow(channels=24, head_dim=12).float()
    with torch.no_grad():
        for block in flow.blocks:
            block.proj_out.weight.mul_(0.2)
    return flow


@pytest.fixture
def untried() -> Iterator[None]:
    """The kernel looked for anew, in this test and after it."""
    load_kernel.cache_clear()
    yield
    load_kernel.cache_clear()


def fused(flow: TarFlow, threads: int = 1) -> Fused:
    """The compiled loop, which there must be where there is numba."""
    kernel = load_kernel()
    assert kernel is not None
    return Fused(flow, kernel, threads)


class Counted(ModuleType):
    """The compiled loop, counting the network rows of each call."""

    def __init__(self, kernel: ModuleType) -> None:
        super().__init__(kernel.__name__)
        self.kernel, self.rows = kernel, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.kernel, name)

    def invert_block(self, weights: Any, latents: Any, rows: Any, *rest: Any) -> None:
        """See `model.fused_kernel`."""
        self.rows.append(len(rows.class_vectors))
        self.kernel.invert_block(weights, latents, rows, *rest)


def latents() -> Tensor:
    """Latents of `ROWS` rows of a tiny flow."""
    return torch.randn(ROWS, 9, 8)


def asked() -> Asked:
    """Guided and unguided rows, with and without a class, sharp and blurred, in no order."""
    place = torch.arange(ROWS)
    return Asked.of((place % 3 * 0.75).tolist(), place % 4 - 1, (1 - place % 5 * 0.1).tolist(), ROWS)


def inverted(inverter: Fused, latents: Tensor, index: Tensor | None = None) -> Tensor:
    """The patches of the rows at `index`, or of all."""
    rows, index = asked().rows(torch.float32), torch.arange(ROWS) if index is None else index
    return inverter.invert(1, latents[index], rows.select(index))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 11, 16, 31, 32, 40])
def test_a_row_is_the_same_to_the_last_bit_in_a_batch_of_any_size(small_flow: TarFlow, count: int) -> None:
    inverter, given = fused(small_flow), latents()
    batches = [inverted(inverter, given, batch) for batch in torch.arange(ROWS).split(count)]
    assert torch.equal(torch.cat(batches), inverted(inverter, given))


def test_a_row_is_the_same_to_the_last_bit_wherever_it_stands(small_flow: TarFlow) -> None:
    inverter, given, order = fused(small_flow), latents(), torch.randperm(ROWS)
    assert torch.equal(inverted(inverter, given, order), inverted(inverter, given)[order])


@pytest.mark.parametrize("threads", [2, 3, 100])
@pytest.mark.parametrize("count", [1, 9, 17, ROWS])
def test_a_row_is_the_same_to_the_last_bit_on_any_number_of_threads(
    small_flow: TarFlow, threads: int, count: int
) -> None:
    given, few = latents(), torch.arange(count)
    alone, shared = (inverted(fused(small_flow, number), given, few) for number in (1, threads))
    assert torch.equal(shared, alone)


def test_a_row_that_is_no_number_leaves_the_others_the_same_to_the_last_bit(small_flow: TarFlow) -> None:
    inverter, given = fused(small_flow), latents()
    before = inverted(inverter, given)
    given[3], given[5] = torch.nan, torch.inf
    others = torch.arange(ROWS)[(torch.arange(ROWS) != 3) & (torch.arange(ROWS) != 5)]
    assert torch.equal(inverted(inverter, given)[others], before[others])


def test_a_batch_goes_through_in_shares_that_stay_in_the_processors_cache(small_flow: TarFlow) -> None:
    kernel = Counted(fused(small_flow).kernel)
    guided = Asked.of(labels=torch.zeros(ROWS, dtype=torch.int64), rows=ROWS).rows(torch.float32)
    assert len(guided) > 2 * MOST_ROWS
    Fused(small_flow, kernel, threads=1).invert(1, latents(), guided)
    assert max(kernel.rows) <= MOST_ROWS
    assert sum(kernel.rows) == len(guided)


@cache
def digits(threads: int) -> Sampler:
    """The bundled checkpoint, ready to be sampled on so many threads."""
    return Sampler.prepare(load("mnist-28"), threads)


@cache
def digits_together() -> Tensor:
    """32 digits made at once on one thread."""
    return made(digits(1), torch.arange(32))


def made(sampler: Sampler, index: Tensor) -> Tensor:
    """The digits at `index` of 32, every third unguided."""
    noise = torch.randn(32, 49, 16, generator=torch.Generator().manual_seed(0))
    guidance = torch.arange(32) % 3 * 1.0
    return sample(sampler.flow, noise[index], index % 10, guidance[index], sampler=sampler)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 16, 32])
def test_a_digit_is_the_same_to_the_last_bit_in_a_batch_of_any_size(count: int, threads: int) -> None:
    index = torch.randperm(32)[:count]
    assert torch.equal(made(digits(threads), index), digits_together()[index])


def test_a_flow_made_ready_on_a_cpu_is_sampled_by_the_compiled_loop(small_flow: TarFlow) -> None:
    sampler = Sampler.prepare(small_flow)
    assert isinstance(sampler.exact, Fused)
    assert sampler.rows_are_independent


def test_a_sampler_shares_batches_among_the_threads_it_is_given(small_flow: TarFlow) -> None:
    exact = [Sampler.prepare(small_flow, threads).exact for threads in (None, 3)]
    assert [inverter.threads for inverter in exact if isinstance(inverter, Fused)] == [torch.get_num_threads(), 3]


def test_the_compiled_loop_keeps_the_weights_it_was_given(make_flow: FlowMaker) -> None:
    flow, noise = make_flow(num_classes=0).float(), torch.randn(4, 9, 8)
    inverter, rows = fused(flow), Rows.plain(noise)
    before = [inverter.invert(index, noise, rows) for index in (0, 1)]
    with torch.no_grad():
        for weight in flow.parameters():
            weight.zero_()
    after = [inverter.invert(index, noise, rows) for index in (0, 1)]
    assert torch.equal(torch.stack(after), torch.stack(before))


@pytest.mark.usefixtures("untried")
@pytest.mark.parametrize("broken", [None, ModuleType(KERNEL)], ids=["missing", "broken"])
def test_without_the_compiled_loop_pictures_are_the_same_and_one_warning_says_so(
    small_flow: TarFlow,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: ModuleType | None,
) -> None:
    noise, labels = latents()[:4], torch.tensor([0, 2, -1, 1])
    expected = sample(small_flow, noise, labels)
    load_kernel.cache_clear()
    monkeypatch.setitem(sys.modules, KERNEL, broken)
    with caplog.at_level(logging.WARNING, "model.fused"):
        for _ in range(3):
            torch.testing.assert_close(sample(small_flow, noise, labels), expected, rtol=0, atol=1e-3)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("sampling without the compiled step, several times slower: ")


@pytest.mark.usefixtures("untried")
def test_without_the_compiled_loop_rows_are_not_called_independent(
    small_flow: TarFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, KERNEL, None)
    sampler = Sampler.prepare(small_flow)
    assert isinstance(sampler.exact, Stepwise)
    assert sampler.rounds == Rounds(small_flow, sampler.exact)
    assert not sampler.rows_are_independent


@pytest.mark.usefixtures("untried")
def test_looking_for_the_compiled_loop_draws_none_of_the_callers_random_numbers() -> None:
    before = torch.get_rng_state()
    load_kernel()
    assert torch.equal(torch.get_rng_state(), before)


@contextmanager
def float64_by_default() -> Iterator[None]:
    """New tensors of floats are float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("untried")
@pytest.mark.parametrize("elsewhere", [float64_by_default, lambda: torch.device("meta")], ids=["dtype", "device"])
@pytest.mark.parametrize("labels", [None, torch.tensor([0, 2, -1, 1])], ids=["no classes", "classes"])
def test_the_compiled_loop_is_found_whatever_device_and_dtype_the_caller_takes_by_default(
    small_flow: TarFlow, elsewhere: Callable[[], AbstractContextManager[None]], labels: Tensor | None
) -> None:
    noise = latents()[:4]
    with elsewhere():
        sampler = Sampler.prepare(small_flow)
        found = sample(small_flow, noise, labels, sampler=sampler)
    assert isinstance(sampler.exact, Fused)
    assert torch.equal(found, sample(small_flow, noise, labels))


def test_the_loop_is_compiled_where_no_folder_can_keep_it(small_flow: TarFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of the places that numba knows, only NUMBA_CACHE_DIR is left, and that is not set.
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")
    spec = importlib.util.find_spec(KERNEL)
    assert spec is not None
    assert spec.loader is not None
    kernel = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kernel)
    given = latents()
    assert torch.equal(inverted(Fused(small_flow, kernel, threads=1), given), inverted(fused(small_flow), given))
