"""Laws of what a patch's likelihood is beside what is usual at its place, and of what is told of a calibration."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.anatomy import dissect
from model.calibration import Calibration, Mixture, Provenance, Reference, View
from model.features import image_features
from model.pixels import to_images
from worker.calibrations import calibration_facts
from worker.contract import CalibrationId, ImageScore, ScoreInput, ScoreRequest
from worker.engine import Engine

PIXELS = torch.randint(256, (1, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
PATCHES = 4


def reference(features: int, scores: Tensor) -> Reference:
    """A density of one standard Gaussian, and patches that have 3 nats and a standard deviation of 2 usually."""
    zeros = torch.zeros(features, dtype=torch.float64)
    mixture = Mixture(zeros, zeros + 1, zeros[:1], zeros[None], torch.eye(features, dtype=torch.float64)[None])
    usual = torch.full((PATCHES,), 3.0, dtype=torch.float64), torch.full((PATCHES,), 2.0, dtype=torch.float64)
    return Reference(mixture, scores, scores, *usual)


@pytest.fixture
def calibrated(engine: Engine) -> Engine:
    """The tiny engine with such a calibration."""
    anatomy = dissect(engine.flow, to_images(PIXELS, engine.flow.config), torch.tensor([-1]))
    features = image_features(anatomy, torch.zeros(1)).shape[1]
    provenance = Provenance("2026-01-01", engine.digest, "data", 10, 0, 4, 4)
    scores = torch.arange(4, dtype=torch.float64)
    calibration = Calibration("default", provenance, {View.NONE: reference(features, scores)}, digest="c1")
    return replace(engine, calibrations=(calibration,))


@pytest.fixture
def score(calibrated: Engine) -> Callable[..., ImageScore]:
    """Score the image, with changes to the request."""

    def ask(**changes: object) -> ImageScore:
        fields = {"model": "tiny", "model_digest": calibrated.digest, "class_index": -1}
        request = ScoreRequest.model_validate(
            fields
            | {"images": (ScoreInput(sha256="0"),), "calibration": CalibrationId(name="default", digest="c1")}
            | changes
        )
        return calibrated.score(request, PIXELS).scores[0]

    return ask


def test_a_surprise_is_by_how_much_a_patch_is_less_likely_than_is_usual_there(
    score: Callable[..., ImageScore],
) -> None:
    found = score(patches=True)
    likelihoods = [each for each in found.patch_log_likelihood_nats if each is not None]
    assert len(likelihoods) == PATCHES
    assert found.patch_surprise_stds == pytest.approx([(3.0 - each) / 2.0 for each in likelihoods])


def test_without_a_calibration_nothing_is_a_surprise(score: Callable[..., ImageScore]) -> None:
    assert score(patches=True, calibration=None).patch_surprise_stds is None


def test_who_does_not_ask_for_patches_gets_none(score: Callable[..., ImageScore]) -> None:
    found = score()
    assert (found.patch_log_likelihood_nats, found.patch_surprise_stds) == ((), None)


def test_a_calibration_is_told_view_by_view(calibrated: Engine) -> None:
    (calibration,) = calibrated.calibrations
    given = replace(calibration.references[View.NONE], scores=torch.full((4,), 7.0, dtype=torch.float64))
    both = replace(calibration, references={**calibration.references, View.GIVEN: given})
    facts = calibration_facts(both)
    assert set(facts.thresholds) == set(facts.score_quantiles) == {"none", "given"}
    assert (facts.score_quantiles["none"][0], facts.score_quantiles["none"][-1]) == (0.0, 3.0)
    assert set(facts.score_quantiles["given"]) == {7.0}
