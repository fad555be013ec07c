"""Laws of verdicts: an anomaly is what alpha says, and its direction is the tail its likelihood lies in."""

import math

import pytest
import torch

from model.calibration import Mixture, Reference
from worker.contract import Direction, Verdict
from worker.verdicts import verdicts

ONE = torch.ones(1, dtype=torch.float64)
# Scores 0..98, likelihoods 1..99.
USUAL = Reference(
    Mixture(0 * ONE, ONE, 0 * ONE, torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double()),
    torch.arange(99).double(),
    torch.arange(1, 100).double(),
    ONE,
    ONE,
)


def verdict(feature: float, log_prob: float = 50.0, alpha: float = 0.1) -> Verdict:
    """Of one image; its anomaly score is half the square of its only feature."""
    (found,) = verdicts(alpha, torch.tensor([[feature]]).double(), torch.tensor([log_prob]), USUAL)
    return found


def test_a_verdict_is_known_by_hand() -> None:
    assert verdict(20.0) == Verdict(
        anomaly_score=280.0, percentile=100.0, p_value=0.01, is_anomaly=True, direction=Direction.UNUSUAL_LATENT
    )


@pytest.mark.parametrize(("alpha", "is_anomaly"), [(0.009, False), (0.01, True), (0.011, True)])
def test_an_image_is_an_anomaly_from_its_p_value_on(alpha: float, is_anomaly: bool) -> None:
    assert verdict(20.0, alpha=alpha).is_anomaly is is_anomaly


def test_an_image_that_is_no_anomaly_has_no_direction() -> None:
    assert verdict(1.0, log_prob=-1e9).direction is None


@pytest.mark.parametrize(
    ("log_prob", "direction"),
    [
        (-1e9, Direction.TOO_UNLIKELY),
        (math.nan, Direction.TOO_UNLIKELY),
        (5.0, Direction.TOO_UNLIKELY),
        (6.0, Direction.UNUSUAL_LATENT),
        (95.0, Direction.UNUSUAL_LATENT),
        (96.0, Direction.TOO_LIKELY),
        (1e9, Direction.TOO_LIKELY),
    ],
)
def test_the_direction_of_an_anomaly_is_the_tail_of_its_likelihood(log_prob: float, direction: Direction) -> None:
    assert verdict(20.0, log_prob, alpha=0.1).direction is direction
