"""95 % confidence intervals of a mean and of a share.

Owns the two formulas. Knows nothing of what is counted.
"""

import math

from torch import Tensor

Interval = tuple[float, float]
NORMAL_QUANTILE = 1.959964  # of 97.5 %: 95 % lie within so many standard deviations


def mean_interval(values: Tensor) -> Interval | None:
    """The interval of the mean of independent values (N,), by the central limit theorem; None for fewer than two."""
    if len(values) < 2:
        return None
    values = values.double()
    middle, margin = values.mean().item(), NORMAL_QUANTILE * values.std().item() / math.sqrt(len(values))
    return middle - margin, middle + margin


def share_interval(hits: int, trials: int) -> Interval:
    """Wilson's score interval of `hits` of `trials`: inside [0, 1], and not empty where all or none hit."""
    share, extra = hits / trials, NORMAL_QUANTILE**2 / trials
    middle = (share + extra / 2) / (1 + extra)
    margin = NORMAL_QUANTILE / (1 + extra) * math.sqrt(share * (1 - share) / trials + extra / (4 * trials))
    # Of all and none, rounding alone could leave the bound outside.
    return (0.0 if hits == 0 else middle - margin, 1.0 if hits == trials else middle + margin)
