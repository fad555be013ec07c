"""Owns the laws of the plan: which way a batch takes, and that calibration finds the faster one of fakes.

The fakes take the time that they are told to, by a clock that only they advance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from model import Sampler, TarFlow
from model.plan import CALIBRATED_REQUESTS, CALIBRATION_GUIDANCE, RUNS, Plan, calibrate
from model.rows import Rows
from model.stepwise import Stepwise

FlowMaker = Callable[..., TarFlow]
Seconds = Callable[[int, Rows], float]
PLAN = Plan(((2, frozenset({0, 1, 3})), (8, frozenset({1}))))


@dataclass
class Clock:
    """What time it is."""

    now_s: float = 0.0


@dataclass(frozen=True)
class Timed:
    """Inverts a block to its own latents in a known time, and notes what it was given."""

    clock: Clock
    seconds: Seconds
    runs: list[tuple[int, Tensor, Rows]] = field(default_factory=list)

    def invert(self, index: int, latents: Tensor, rows: Rows) -> Tensor:
        """See `Inverter`."""
        self.runs.append((index, latents, rows))
        self.clock.now_s += self.seconds(index, rows)
        return latents.clone()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that calibration reads."""
    clock = Clock()
    monkeypatch.setattr("model.plan.time", SimpleNamespace(perf_counter=lambda: clock.now_s))
    return clock


def second(_index: int, _rows: Rows) -> float:
    return 1.0


def faster_in(*blocks: int) -> Seconds:
    """Half a second in these blocks and two in the others."""
    return lambda index, _: 0.5 if index in blocks else 2.0


@pytest.mark.parametrize(
    ("rows", "blocks"), [(1, {0, 1, 3}), (2, {0, 1, 3}), (3, {1}), (8, {1}), (9, set()), (1000, set())]
)
def test_a_batch_goes_by_the_smallest_size_that_holds_it(rows: int, blocks: set[int]) -> None:
    assert {block for block in range(4) if PLAN.pays(block, rows)} == blocks


def test_without_a_calibration_rounds_pay_nowhere() -> None:
    assert not any(Plan().pays(block, rows) for block in range(4) for rows in (1, 2, 100))


@pytest.mark.parametrize("blocks", [{0}, {2}, {0, 1}, {0, 1, 2}])
def test_calibration_finds_the_blocks_where_rounds_are_faster(
    make_flow: FlowMaker, clock: Clock, blocks: set[int]
) -> None:
    plan = calibrate(make_flow(blocks=3), Timed(clock, second), Timed(clock, faster_in(*blocks)))
    assert [found for _, found in plan.rounds] == [blocks] * len(CALIBRATED_REQUESTS)


def test_rounds_that_take_as_long_do_not_pay(make_flow: FlowMaker, clock: Clock) -> None:
    assert calibrate(make_flow(), Timed(clock, second), Timed(clock, second)) == Plan()


def test_calibration_stops_at_the_first_size_where_rounds_pay_nowhere(make_flow: FlowMaker, clock: Clock) -> None:
    # Rounds would be faster again from 16 requests on.
    rounds = Timed(clock, lambda index, rows: 0.5 if index == 1 and rows.requests != 8 else 2.0)
    plan = calibrate(make_flow(num_classes=0), Timed(clock, second), rounds)
    assert plan == Plan(((1, frozenset({1})), (2, frozenset({1})), (4, frozenset({1}))))
    assert max(rows.requests for _, _, rows in rounds.runs) == 8


@pytest.mark.parametrize(("num_classes", "rows"), [(3, [2, 4, 8]), (0, [1, 2, 4])])
def test_sizes_are_counted_in_rows_of_the_network(
    make_flow: FlowMaker, clock: Clock, num_classes: int, rows: list[int]
) -> None:
    flow = make_flow(num_classes=num_classes)
    plan = calibrate(flow, Timed(clock, second), Timed(clock, faster_in(0)), requests=[1, 2, 4])
    assert [most for most, _ in plan.rounds] == rows


@pytest.mark.parametrize("slow", range(RUNS))
def test_one_run_that_was_held_up_changes_nothing(make_flow: FlowMaker, clock: Clock, slow: int) -> None:
    rounds = Timed(clock, lambda *_: 50.0 if len(rounds.runs) - 1 == 1 + slow else 0.5)
    plan = calibrate(make_flow(blocks=1), Timed(clock, second), rounds, requests=[1])
    assert plan == Plan(((2, frozenset({0})),))


def test_the_batches_ask_for_a_class_and_guidance(make_flow: FlowMaker, clock: Clock) -> None:
    serial = Timed(clock, second)
    calibrate(make_flow(), serial, Timed(clock, faster_in(0)))
    assert {rows.requests for _, _, rows in serial.runs} == set(CALIBRATED_REQUESTS)
    for _, latents, rows in serial.runs:
        assert rows.labels is not None
        assert len(rows) == 2 * len(latents)
        assert (rows.labels[: rows.requests] >= 0).all()
        assert (rows.guidance.weight == CALIBRATION_GUIDANCE).all()


def test_both_ways_are_timed_on_the_latents_that_sampling_would_give_the_block(
    make_flow: FlowMaker, clock: Clock
) -> None:
    flow = make_flow(blocks=3, volume_preserving=True)
    rounds = Timed(clock, faster_in(0))
    calibrate(flow, Stepwise(flow), rounds, requests=[4])
    given = {index: latents for index, latents, _ in rounds.runs}
    _, _, rows = rounds.runs[0]
    with torch.no_grad():
        for index in (2, 1):
            patches = flow.blocks[index].orient(Stepwise(flow).invert(index, given[index], rows))
            assert torch.equal(flow.blocks[index - 1].orient(patches), given[index - 1])
    assert given[2].shape == (4, 9, 8)


def test_a_calibrated_sampler_goes_by_the_plan_that_was_found(make_flow: FlowMaker, clock: Clock) -> None:
    sampler = Sampler(make_flow(), Timed(clock, second), Timed(clock, faster_in(1)), Plan())
    found = sampler.calibrated()
    assert found.plan.pays(1, rows=1)
    assert not found.plan.pays(0, rows=1)
    assert (found.flow, found.exact, found.rounds) == (sampler.flow, sampler.exact, sampler.rounds)


def test_the_last_block_is_timed_on_latents_of_the_prior(make_flow: FlowMaker, clock: Clock) -> None:
    flow, serial = make_flow(blocks=1, volume_preserving=True), Timed(clock, second)
    for variance in (1.0, 4.0):
        flow.var.fill_(variance)
        calibrate(flow, serial, Timed(clock, second), requests=[1])
    narrow, wide = serial.runs[0][1], serial.runs[-1][1]
    assert torch.equal(wide, 2 * narrow)
