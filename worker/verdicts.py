"""Features of images to verdicts: how unusual, and in what way.

Owns what counts as an anomaly and the direction it is given. Knows nothing of how features come about.
"""

from torch import Tensor

from model.calibration import Reference
from worker.contract import Direction, Verdict


def verdicts(alpha: float, features: Tensor, log_probs: Tensor, reference: Reference) -> list[Verdict]:
    """A verdict for each image of features (N, F) and log-likelihoods (N,) in nats, at false-alarm rate `alpha`."""
    scores = reference.anomaly_scores(features)
    columns = (scores, reference.percentiles(scores), reference.p_values(scores), reference.likelihood_ranks(log_probs))
    return [
        Verdict(
            anomaly_score=score,
            percentile=percentile,
            p_value=p_value,
            is_anomaly=p_value <= alpha,
            direction=_direction(rank, alpha) if p_value <= alpha else None,
        )
        for score, percentile, p_value, rank in zip(*(each.tolist() for each in columns), strict=True)
    ]


def _direction(likelihood_rank: float, alpha: float) -> Direction:
    """What is unusual of an anomaly: its likelihood where that lies in a tail of alpha / 2."""
    if likelihood_rank <= alpha / 2:
        return Direction.TOO_UNLIKELY
    return Direction.TOO_LIKELY if likelihood_rank >= 1 - alpha / 2 else Direction.UNUSUAL_LATENT
