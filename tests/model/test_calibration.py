"""Owns the laws of calibrated scores: p-values count stranger images, and hold whatever the density is worth."""

import math
from collections.abc import Sequence

import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from model.calibration import ALPHAS, LEAN_NATS, Mixture, Reference
from training.calibrator import fit_mixture

Z_99 = 2.5758


def standard_normal(width: int = 2) -> Mixture:
    """One Gaussian, of mean 0 and variance 1."""
    one = torch.ones(width, dtype=torch.float64)
    return Mixture(0 * one, one, torch.zeros(1).double(), torch.zeros(1, width).double(), torch.diag(one)[None])


def blind(width: int = 2) -> Mixture:
    """A density that looks at the first feature alone, and takes its middle for something strange."""
    precisions = torch.zeros(width).double() + 1e-9
    precisions[0] = 1.0
    far = torch.full((1, width), 5.0).double()
    return Mixture(far[0], torch.ones(width).double(), torch.zeros(1).double(), far, torch.diag(precisions)[None])


def reference(
    scores: Sequence[float], log_probs: Sequence[float] = (0.0,), mixture: Mixture | None = None
) -> Reference:
    """What is usual, with these scores and likelihoods to compare with."""
    ascending, likelihoods = (torch.tensor(sorted(each), dtype=torch.float64) for each in (scores, log_probs))
    patches = torch.tensor([1.0, 2.0], dtype=torch.float64)
    return Reference(mixture or standard_normal(), ascending, likelihoods, patches, patches)


def p_value(usual: Reference, score: float) -> float:
    """Of one score."""
    return float(usual.p_values(torch.tensor([score], dtype=torch.float64)))


@pytest.mark.parametrize(
    ("score", "stranger"), [(0.0, 4), (1.0, 4), (1.5, 3), (2.0, 3), (2.5, 1), (3.0, 1), (3.5, 0), (math.inf, 0)]
)
def test_a_p_value_counts_those_at_least_as_strange_and_the_image_itself(score: float, stranger: int) -> None:
    assert p_value(reference([3.0, 2.0, 1.0, 2.0]), score) == (1 + stranger) / 5


@pytest.mark.parametrize(("score", "percentile"), [(0.0, 0), (1.0, 0), (1.5, 25), (2.0, 25), (2.5, 75), (3.5, 100)])
def test_a_percentile_is_the_share_that_is_less_strange(score: float, percentile: float) -> None:
    usual = reference([3.0, 2.0, 1.0, 2.0])
    assert usual.percentiles(torch.tensor([score], dtype=torch.float64)).tolist() == [percentile]


@pytest.mark.parametrize(("log_prob", "rank"), [(-9.0, 0), (0.0, 0.25), (9.0, 1), (math.nan, 0), (-math.inf, 0)])
def test_a_likelihood_has_its_rank_among_the_usual_ones(log_prob: float, rank: float) -> None:
    usual = reference([0.0], log_probs=[-1.0, 0.0, 1.0, 2.0])
    assert usual.likelihood_ranks(torch.tensor([log_prob])).tolist() == [rank]


@pytest.mark.parametrize("fitted", [True, False], ids=["a fitted density", "a useless density"])
@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_false_alarms_on_exchangeable_images_come_at_the_promised_rate(fitted: bool, alpha: float) -> None:
    # The rate is promised over calibrations and images together: each image has a calibration of its own.
    calibrations, compared = 5000, 99
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(200 + calibrations * (compared + 1), 2, generator=generator).double()
    mixture = fit_mixture(features[:200], seed=0) if fitted else blind()
    scores = -mixture.log_density(features[200:]).view(calibrations, compared + 1)
    alarms = sum(p_value(reference(each[1:].tolist()), float(each[0])) <= alpha for each in scores)
    half = Z_99 * math.sqrt(alpha * (1 - alpha) / calibrations)
    assert alarms / calibrations == pytest.approx(alpha, abs=half)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("count", [9, 99, 100, 999, 1000])
def test_a_threshold_is_where_p_values_reach_alpha(alpha: float, count: int) -> None:
    usual = reference(torch.randn(count).tolist())
    threshold = usual.thresholds()[f"{alpha:g}"]
    if threshold is None:
        assert p_value(usual, math.inf) > alpha
    else:
        assert p_value(usual, math.nextafter(threshold, math.inf)) <= alpha < p_value(usual, threshold)


def test_an_image_far_stranger_than_any_has_the_least_p_value_on_either_side() -> None:
    features = torch.randn(399, 2).double()
    mixture = fit_mixture(features[:300], seed=0)
    usual = reference(mixture.anomaly_scores(features[300:]).tolist(), mixture=mixture)
    far = torch.tensor([[9.0, 9.0], [-9.0, -9.0], [1e15, -1e15]], dtype=torch.float64)
    assert usual.p_values(usual.anomaly_scores(far)).tolist() == [1 / 100] * 3


def test_of_two_images_as_dense_the_less_explained_is_the_stranger() -> None:
    more, less = standard_normal().anomaly_scores(torch.tensor([[1.5, 0.0], [-1.5, 0.0]], dtype=torch.float64))
    assert more - less == 2 * 1.5 * LEAN_NATS


def test_surprises_are_standard_deviations_below_what_is_usual() -> None:
    found = reference([0.0]).surprises(torch.tensor([[1.0, 2.0], [0.0, 0.0], [2.0, -math.inf]]))
    assert found.tolist() == [[0, 0], [1, 1], [-1, math.inf]]


def some_features(count: int = 900) -> Tensor:
    """Of images of two kinds, in three features of different scales that go together."""
    mixing = torch.tensor([[100.0, 3.0, 0.0], [0.0, 1.0, 0.1], [0.0, 0.0, 0.01]], dtype=torch.float64)
    kinds = torch.where(torch.rand(count, 1) < 0.3, 4.0, 0.0)
    return (torch.randn(count, 3) + kinds).double() @ mixing + 7


def test_the_density_is_that_of_scikit_learn_up_to_a_constant() -> None:
    features = some_features()
    ours = fit_mixture(features, seed=3)
    theirs = GaussianMixture(3, reg_covar=1 / 900, random_state=3)
    standard = ((features - features.mean(dim=0)) / features.std(dim=0)).numpy()
    expected = torch.from_numpy(theirs.fit(standard).score_samples(standard))
    difference = ours.log_density(features) - expected
    torch.testing.assert_close(difference, torch.full_like(difference, 1.5 * math.log(2 * math.pi)))


def test_the_density_is_a_mixture_of_normals_up_to_a_constant() -> None:
    features = some_features()
    ours = fit_mixture(features, seed=0)
    precisions = ours.factors @ ours.factors.mT
    normals = MultivariateNormal(ours.means, precision_matrix=precisions)
    expected = MixtureSameFamily(Categorical(logits=ours.log_weights), normals)
    difference = ours.log_density(features) - expected.log_prob((features - ours.centre) / ours.scale)
    torch.testing.assert_close(difference, torch.full_like(difference, 1.5 * math.log(2 * math.pi)))
