"""Laws of scoring: the numbers are exact, add up, and belong to the image alone."""

import math

import pytest
import torch
from torch import Tensor

from model.pixels import to_images
from tests.worker.conftest import EngineMaker
from worker.contract import NO_CLASS, ImageScore, ScoreInput, ScoreRequest
from worker.engine import Engine
from worker.errors import ModelChanged

# Measured between batches of 1 and of 64: no difference at all (AVX-512, one thread). Not promised that far.
BATCH_TOLERANCE = 1e-5


def pixels(count: int, channels: int = 1, size: int = 8) -> Tensor:
    """Random uint8 pixels (count, C, H, W)."""
    return torch.randint(256, (count, channels, size, size), dtype=torch.uint8)


def score_request(engine: Engine, images: int, class_index: int | str = NO_CLASS) -> ScoreRequest:
    """A request for so many images."""
    inputs = [{"sha256": "0" * 64}] * images
    return ScoreRequest.model_validate(
        {"model": engine.name, "model_digest": engine.digest, "class_index": class_index, "images": inputs}
    )


def scores(engine: Engine, images: Tensor, class_index: int | str = NO_CLASS) -> tuple[ImageScore, ...]:
    """The scores of uint8 pixels."""
    return engine.score(score_request(engine, len(images), class_index), images).scores


def nats(value: float | None) -> float:
    """A number that must be there."""
    assert value is not None
    return value


@pytest.mark.parametrize("class_index", [NO_CLASS, 2, "all"])
def test_the_likelihood_is_exactly_the_sum_of_prior_and_determinant(engine: Engine, class_index: int | str) -> None:
    for score in scores(engine, pixels(5), class_index):
        assert score.log_likelihood_nats == nats(score.log_prior_nats) + nats(score.log_abs_det_nats)


@pytest.mark.parametrize("class_index", [NO_CLASS, 0, 1, 2])
def test_the_likelihood_is_that_of_the_flow(engine: Engine, class_index: int) -> None:
    images = pixels(6)
    with torch.no_grad():
        exact = engine.flow.log_prob(to_images(images, engine.flow.config), torch.full((6,), class_index))
    ours = torch.tensor([score.log_likelihood_nats for score in scores(engine, images, class_index)])
    torch.testing.assert_close(ours, exact, rtol=1e-6, atol=0)


def test_bits_per_dim_are_the_likelihood_on_256_grey_levels(engine: Engine) -> None:
    (score,) = scores(engine, pixels(1))
    nats_per_dim = -nats(score.log_likelihood_nats) / 64
    assert score.bits_per_dim == pytest.approx((nats_per_dim + math.log(128)) / math.log(2), rel=1e-12)


@pytest.mark.parametrize("class_index", [NO_CLASS, "all"])
def test_the_same_request_gives_the_same_numbers(engine: Engine, class_index: int | str) -> None:
    images = pixels(3)
    assert scores(engine, images, class_index) == scores(engine, images, class_index)


@pytest.mark.parametrize("place", [0, 1, 31, 63])
def test_an_image_has_its_number_at_any_place_of_a_batch(engine: Engine, place: int) -> None:
    images = pixels(64)
    (alone,) = scores(engine, images[place : place + 1], class_index=1)
    among = scores(engine, images, class_index=1)[place]
    assert among.log_likelihood_nats == pytest.approx(alone.log_likelihood_nats, rel=BATCH_TOLERANCE)


def test_scores_come_in_the_order_of_the_images(engine: Engine) -> None:
    images = pixels(4)
    there = [score.log_likelihood_nats for score in scores(engine, images)]
    back = [score.log_likelihood_nats for score in scores(engine, images.flip(0))]
    assert back == pytest.approx(there[::-1], rel=BATCH_TOLERANCE)


def test_the_posterior_of_all_classes_sums_to_one(engine: Engine) -> None:
    for score in scores(engine, pixels(5), "all"):
        assert math.fsum(nats(each.posterior) for each in score.classes) == pytest.approx(1, rel=1e-12)


def test_each_class_of_all_has_the_likelihood_it_has_alone(engine: Engine) -> None:
    images = pixels(3)
    for score in scores(engine, images, "all")[0].classes:
        alone = scores(engine, images, score.class_index)[0]
        assert score.log_likelihood_nats == pytest.approx(alone.log_likelihood_nats, rel=BATCH_TOLERANCE)


def test_one_class_has_neither_posterior_nor_marginal(engine: Engine) -> None:
    (score,) = scores(engine, pixels(1), class_index=1)
    assert (score.classes, score.marginal_log_likelihood_nats) == ((), None)


def test_colour_images_are_scored_in_colour(make_engine: EngineMaker) -> None:
    engine = make_engine(in_channels=3)
    images = pixels(1, channels=3)
    assert scores(engine, images) != scores(engine, images.flip(1))


def test_a_flow_of_dequantised_density_gives_an_image_one_number(make_engine: EngineMaker) -> None:
    engine = make_engine(noise_type="uniform", noise_std=0.0)
    images = pixels(2)
    assert scores(engine, images) == scores(engine, images)


def test_a_flow_without_classes_scores_under_no_class(make_engine: EngineMaker) -> None:
    engine = make_engine(num_classes=0)
    images = pixels(2)
    with torch.no_grad():
        exact = engine.flow.log_prob(to_images(images, engine.flow.config)).tolist()
    assert [score.log_likelihood_nats for score in scores(engine, images)] == pytest.approx(exact, rel=1e-6)


def test_a_request_for_other_weights_is_refused(engine: Engine) -> None:
    request = ScoreRequest(model="tiny", model_digest="x", class_index=0, images=(ScoreInput(sha256="0"),))
    with pytest.raises(ModelChanged, match="weights x"):
        engine.score(request, pixels(1))
