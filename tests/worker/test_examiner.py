"""Laws of examined images: verdicts are added to the numbers, and a request's are its own whoever shares the batch."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.calibrated import calibrated
from tests.worker.conftest import EngineMaker, overflow
from worker.contract import NO_CLASS, CalibrationId, Direction, ScoreInput, ScoreRequest, ScoreResult
from worker.engine import Engine
from worker.errors import JobCancelled, ModelChanged

TOLERANCE = 1e-4


@pytest.fixture
def judged(engine: Engine) -> Engine:
    """The tiny engine with a calibration."""
    return calibrated(engine)


def pixels(count: int) -> Tensor:
    """Random uint8 pixels (count, C, H, W)."""
    return torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8)


def request_to(engine: Engine, images: int = 1, **changes: Any) -> ScoreRequest:
    """A request for so many images, judged by the engine's calibration if it has one."""
    known = next((each.id for each in engine.facts().calibrations), None)
    fields: dict[str, Any] = {
        "model": engine.name,
        "model_digest": engine.digest,
        "class_index": NO_CLASS,
        "images": (ScoreInput(sha256="0"),) * images,
        "calibration": known,
        "classes": engine.flow.config.num_classes if changes.get("class_index") == "all" else 0,
    }
    return ScoreRequest(**fields | changes)


def assert_alike(found: object, expected: object) -> None:
    """Equal, numbers within the tolerance of batches."""
    if isinstance(expected, float):
        assert found == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value)
    elif isinstance(expected, list | tuple):
        assert isinstance(found, list | tuple)
        for each in zip(found, expected, strict=True):
            assert_alike(*each)
    else:
        assert found == expected


@pytest.mark.parametrize("class_index", [NO_CLASS, 1, "all"])
def test_a_calibration_adds_a_verdict_and_changes_no_number(judged: Engine, class_index: int | str) -> None:
    images = pixels(3)
    with_it = judged.score(request_to(judged, 3, class_index=class_index), images)
    without = judged.score(request_to(judged, 3, class_index=class_index, calibration=None), images)
    assert all(score.verdict for score in with_it.scores)
    assert tuple(score.model_copy(update={"verdict": None}) for score in with_it.scores) == without.scores


@pytest.mark.parametrize(("class_index", "view"), [(NO_CLASS, "none"), (2, "given"), ("all", "all")])
def test_an_image_is_judged_in_the_view_of_its_class(judged: Engine, class_index: int | str, view: str) -> None:
    assert judged.score(request_to(judged, class_index=class_index), pixels(1)).view == view


def test_all_classes_are_judged_as_none_where_they_are_too_many_for_a_view(judged: Engine) -> None:
    (own,) = judged.calibrations
    fewer = replace(own, references={view: each for view, each in own.references.items() if view != "all"})
    engine = replace(judged, calibrations=(fewer,))
    images = pixels(2)
    every, none = (engine.score(request_to(engine, 2, class_index=index), images) for index in ("all", NO_CLASS))
    assert (every.view, none.view) == ("none", "none")
    assert [score.verdict for score in every.scores] == [score.verdict for score in none.scores]


def test_without_a_calibration_there_is_neither_verdict_nor_view(engine: Engine) -> None:
    found = engine.score(request_to(engine), pixels(1))
    assert (found.view, found.scores[0].verdict) == (None, None)


def mixed(engine: Engine) -> list[tuple[ScoreRequest, Tensor]]:
    """Requests that differ in all they can, with their pixels."""
    requests = [
        request_to(engine, 2),
        request_to(engine, 1, class_index=1, alpha=0.3),
        request_to(engine, 3, class_index="all", patches=True),
        request_to(engine, 1, calibration=None, patches=True),
        request_to(engine, 2, class_index="all", calibration=None, prior=(0.5, 0.5, 0.0)),
        request_to(engine, 1, class_index=2, heat_map=True, alpha=0.001),
    ]
    return [(each, pixels(len(each.images))) for each in requests]


@pytest.mark.parametrize("place", range(6))
def test_a_request_is_answered_in_a_mixed_batch_as_alone(judged: Engine, place: int) -> None:
    work = mixed(judged)
    among, alone = judged.score_all(work)[place], judged.score(*work[place])
    assert isinstance(among, ScoreResult)
    assert_alike(among.model_dump(), alone.model_dump())


def test_a_verdict_is_the_same_alone_and_in_a_batch_of_64(judged: Engine) -> None:
    images = pixels(64)
    among = judged.score(request_to(judged, 64), images).scores
    for place in (0, 40, 63):
        (alone,) = judged.score(request_to(judged), images[place : place + 1]).scores
        assert_alike(among[place].model_dump(), alone.model_dump())


@pytest.mark.parametrize("place", [1, 2])
def test_a_request_that_is_dropped_midway_changes_nothing_of_the_others(judged: Engine, place: int) -> None:
    dear = request_to(judged, 64, class_index="all"), pixels(64)
    work = [dear, *mixed(judged)[:2]]
    whole, rest = judged.score_all(work), judged.score_all(work, lambda _shares: frozenset({0}))
    assert isinstance(rest[0], JobCancelled)
    assert rest[place] == whole[place]


def patches_of(result: ScoreResult) -> list[float]:
    """What the patches of the only image add."""
    return [each if each is not None else math.nan for each in result.scores[0].patch_log_likelihood_nats]


@pytest.mark.parametrize("class_index", [NO_CLASS, 1, "all"])
def test_the_patches_sum_to_the_likelihood(engine: Engine, class_index: int | str) -> None:
    result = engine.score(request_to(engine, class_index=class_index, patches=True), pixels(1))
    assert len(patches_of(result)) == 4
    assert math.fsum(patches_of(result)) == pytest.approx(result.scores[0].log_likelihood_nats, rel=1e-5)


def test_patches_that_nobody_wants_are_left_out(engine: Engine) -> None:
    (score,) = engine.score(request_to(engine), pixels(1)).scores
    assert (score.patch_log_likelihood_nats, score.patch_surprise_stds) == ((), None)


def test_the_surprise_of_a_patch_is_beside_what_is_usual_at_its_place(judged: Engine) -> None:
    request = request_to(judged, patches=True)
    result = judged.score(request, pixels(1))
    usual = judged.judge(request)
    assert usual is not None
    (expected,) = usual.surprises(torch.tensor([patches_of(result)])).tolist()
    assert result.scores[0].patch_surprise_stds == pytest.approx(expected)


def test_without_a_calibration_no_patch_is_a_surprise(judged: Engine) -> None:
    request = request_to(judged, calibration=None, patches=True)
    assert judged.score(request, pixels(1)).scores[0].patch_surprise_stds is None


@pytest.mark.parametrize("place", range(4))
def test_the_patches_are_in_the_order_of_the_image(engine: Engine, place: int) -> None:
    image = torch.full((1, 1, 8, 8), 128, dtype=torch.uint8)
    row, column = 4 * (place // 2), 4 * (place % 2)
    image[..., row : row + 4, column : column + 4] = 255
    found = patches_of(engine.score(request_to(engine, patches=True), image))
    assert found.index(min(found)) == place


def test_an_equal_prior_is_the_default(engine: Engine) -> None:
    images = pixels(2)
    plain, given = (
        engine.score(request_to(engine, 2, class_index="all", prior=prior), images) for prior in ((), (1 / 3,) * 3)
    )
    assert plain == given


def test_a_prior_that_is_sure_makes_the_posterior_sure(engine: Engine) -> None:
    (score,) = engine.score(request_to(engine, class_index="all", prior=(0.0, 1.0, 0.0)), pixels(1)).scores
    assert [each.posterior for each in score.classes] == [0, 1, 0]
    assert score.marginal_log_likelihood_nats == pytest.approx(score.classes[1].log_likelihood_nats, rel=1e-12)


def test_the_posterior_and_the_marginal_are_bayes_rule_under_the_prior(engine: Engine) -> None:
    prior = (0.2, 0.7, 0.1)
    (score,) = engine.score(request_to(engine, class_index="all", prior=prior), pixels(1)).scores
    log_probs = torch.tensor([each.log_likelihood_nats for each in score.classes], dtype=torch.float64)
    joint = log_probs + torch.tensor(prior, dtype=torch.float64).log()
    assert score.marginal_log_likelihood_nats == pytest.approx(float(joint.logsumexp(dim=0)), rel=1e-12)
    assert [each.posterior for each in score.classes] == pytest.approx(joint.softmax(dim=0).tolist(), abs=1e-12)


def test_a_class_that_the_prior_rules_out_has_no_posterior(engine: Engine) -> None:
    (score,) = engine.score(request_to(engine, class_index="all", prior=(0.5, 0.0, 0.5)), pixels(1)).scores
    assert score.classes[1].posterior == 0
    assert score.classes[1].log_likelihood_nats is not None


@pytest.mark.parametrize("class_index", [0, "all"])
def test_a_likelihood_that_is_not_finite_is_none_and_judged_as_strange_as_can_be(
    make_engine: EngineMaker, class_index: int | str
) -> None:
    engine = calibrated(make_engine())
    broken = replace(make_engine(_overflow_every_class), calibrations=engine.calibrations)
    request = request_to(broken, class_index=class_index, patches=True)
    (score,) = broken.score(request, pixels(1)).scores
    assert (score.log_likelihood_nats, score.bits_per_dim) == (None, None)
    assert None in score.patch_log_likelihood_nats
    assert score.verdict is not None
    assert (score.verdict.p_value, score.verdict.direction) == (1 / 101, Direction.TOO_UNLIKELY)


def _overflow_every_class(flow: Any) -> None:
    overflow(flow)
    for block in flow.blocks:
        block.class_embed[:, 0, 0] = -20.0


def test_a_request_for_another_calibration_is_refused(judged: Engine) -> None:
    request = request_to(judged, calibration=CalibrationId(name="default", digest="old"))
    with pytest.raises(ModelChanged, match="calibration"):
        judged.score(request, pixels(1))
