"""log p(x | class) of one image as an answer: the posterior and the marginal under a prior.

Owns the arithmetic of Bayes' rule. Knows nothing of flows.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from worker.contract import ClassScore


def class_scores(log_probs: Tensor, prior: Sequence[float]) -> tuple[ClassScore, ...]:
    """An entry per class of log p(x | class) (K,), in nats; an empty prior is a uniform one."""
    posterior = (_joint(log_probs, prior) - _evidence(log_probs, prior)).exp()
    return tuple(
        ClassScore(class_index=index, log_likelihood_nats=known(value), posterior=known(share))
        for index, (value, share) in enumerate(zip(log_probs, posterior, strict=True))
    )


def marginal(log_probs: Tensor, prior: Sequence[float]) -> float | None:
    """log p(x) = log of the sum over classes of p(class) p(x | class), in nats."""
    return known(_evidence(log_probs, prior))


def known(value: Tensor) -> float | None:
    """A scalar as a number; None where it is NaN or infinite, which JSON has no word for."""
    number = float(value)
    return number if math.isfinite(number) else None


def _joint(log_probs: Tensor, prior: Sequence[float]) -> Tensor:
    shares = torch.tensor(prior or [1 / len(log_probs)] * len(log_probs), dtype=torch.float64)
    return log_probs.double() + shares.log()


def _evidence(log_probs: Tensor, prior: Sequence[float]) -> Tensor:
    return _joint(log_probs, prior).logsumexp(dim=0)
