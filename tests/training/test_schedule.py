"""Owns the laws of the learning rate: up to the peak, then down to the final rate."""

import pytest

from training.schedule import learning_rate

PEAK, FINAL = 1e-2, 1e-5
STEPS, WARMUP = 100, 10
RATES = [learning_rate(step, STEPS, WARMUP, PEAK, FINAL) for step in range(STEPS)]


def test_the_warm_up_grows_by_the_same_amount_every_step() -> None:
    assert RATES[:WARMUP] == pytest.approx([PEAK * (step + 1) / WARMUP for step in range(WARMUP)])


def test_the_warm_up_reaches_the_peak_and_nothing_exceeds_it() -> None:
    assert RATES[WARMUP - 1] == max(RATES) == PEAK


def test_after_the_warm_up_the_rate_never_grows() -> None:
    assert RATES[WARMUP:] == sorted(RATES[WARMUP:], reverse=True)


def test_half_way_down_the_rate_is_half_way_between_peak_and_final() -> None:
    assert learning_rate(WARMUP + (STEPS - WARMUP) // 2, STEPS, WARMUP, PEAK, FINAL) == pytest.approx(
        (PEAK + FINAL) / 2
    )


def test_the_last_step_is_near_the_final_rate() -> None:
    assert FINAL < RATES[-1] < FINAL + 1e-3 * PEAK


def test_without_warm_up_the_first_step_is_at_the_peak() -> None:
    assert learning_rate(0, STEPS, 0, PEAK, FINAL) == PEAK


def test_a_run_of_one_step_has_a_rate() -> None:
    assert learning_rate(0, 1, 0, PEAK, FINAL) == PEAK
