"""Laws of generating: what decides a picture, and what does not."""

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model import CheckpointError, denoise, sample
from model.card import Card, SamplingDefaults
from model.pixels import to_pixels
from tests.worker.conftest import EngineMaker, generate_request, made, overflow, run_away
from worker.contract import MAX_SEED, NO_CLASS, GenerateRequest
from worker.engine import Engine, Pictures
from worker.errors import ModelChanged, NonFiniteSample
from worker.images import encode_pictures
from worker.painting import Painting

GOLDEN = Path(__file__).parents[1] / "golden"
# The width of the bundled checkpoints: matrix kernels differ by size.
MNIST: dict[str, Any] = {"image_size": 28, "channels": 128, "head_dim": 64}
ALONE = 8  # of a batch, compared with what they are alone


def files(engine: Engine, requests: Sequence[GenerateRequest]) -> list[bytes]:
    """The PNG of the first picture of each request, all made in one batch."""
    pictures = made(engine, *requests)
    return [
        encode_pictures(each.pixels, request, engine.facts())["0"]
        for each, request in zip(pictures, requests, strict=True)
    ]


def unrounded(engine: Engine, requests: Sequence[GenerateRequest]) -> Tensor:
    """The images (N, C, H, W) of requests, before they become pixels."""
    images = engine._painter().paint(engine._rows([painting(engine, each) for each in requests]), "linear")
    assert bool(images.isfinite().all())
    return images


def painting(engine: Engine, request: GenerateRequest) -> Painting:
    """What a request is painted from."""
    return Painting.seeded(request, (engine.flow.config.patches, engine.flow.config.patch_dims))


def mixed_requests(engine: Engine, count: int) -> list[GenerateRequest]:
    """Requests of all classes and none, guided or not, denoised or not, with and without a temperature."""
    draw = random.Random(0)
    return [
        generate_request(
            engine,
            class_index=draw.choice([NO_CLASS, 0, 1, 2]),
            guidance=draw.choice([0.0, 0.5, 2.0, 7.5]),
            denoise=draw.random() < 0.5,
            attention_temperature=draw.choice([1.0, 1.0, 0.5]),
            seed=draw.randrange(MAX_SEED),
        )
        for _ in range(count)
    ]


def test_the_same_seed_makes_the_same_picture(engine: Engine) -> None:
    request = generate_request(engine)
    assert files(engine, [request]) == files(engine, [request])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"seed": 7 + 2**32},
        {"class_index": 2},
        {"guidance": 3.0},
        {"denoise": False},
        {"attention_temperature": 0.5},
    ],
)
def test_whatever_a_request_says_of_its_pixels_counts(engine: Engine, change: dict[str, Any]) -> None:
    request = generate_request(engine)
    one, other = made(engine, request, request.model_copy(update=change))
    assert not torch.equal(one.pixels, other.pixels)


@pytest.mark.parametrize("bit", [0, 1, 31, 32, 33, 52])
def test_every_bit_of_a_seed_counts(engine: Engine, bit: int) -> None:
    one, other = made(engine, generate_request(engine, seed=0), generate_request(engine, seed=2**bit))
    assert not torch.equal(one.pixels, other.pixels)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7, 8, 13, 16, 31, 32])
def test_a_picture_is_the_same_file_alone_and_in_any_batch(engine: Engine, size: int) -> None:
    requests = mixed_requests(engine, size)
    alone = {request.seed: files(engine, [request])[0] for request in requests}
    random.Random(size).shuffle(requests)
    assert files(engine, requests) == [alone[request.seed] for request in requests]


@pytest.mark.parametrize("size", [2, 9, 32])
@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_an_image_is_the_same_to_the_last_bit_alone_and_in_any_batch(
    make_engine: EngineMaker, size: int, guidance: float
) -> None:
    engine = make_engine(**MNIST)
    requests = [generate_request(engine, seed=i, guidance=guidance, denoise=i % 2 == 0) for i in range(size)]
    among = unrounded(engine, requests)
    # Pixels, being rounded, would hide most differences.
    for index in range(min(size, ALONE)):
        assert torch.equal(unrounded(engine, requests[index : index + 1])[0], among[index])


def test_picture_i_of_a_seed_is_the_first_of_seed_plus_i(engine: Engine) -> None:
    (several,) = made(engine, generate_request(engine, n=5, seed=100))
    for i in range(5):
        (alone,) = made(engine, generate_request(engine, seed=100 + i))
        assert torch.equal(several.pixels[i], alone.pixels[0])


def test_the_seed_after_the_last_is_the_first(engine: Engine) -> None:
    (several,) = made(engine, generate_request(engine, n=2, seed=MAX_SEED))
    (first,) = made(engine, generate_request(engine, seed=0))
    assert torch.equal(several.pixels[1], first.pixels[0])


def test_a_plain_picture_among_guided_and_denoised_ones_is_the_plain_sample(engine: Engine) -> None:
    plain = generate_request(engine, guidance=0.0, denoise=False)
    *_, picture = made(engine, generate_request(engine, n=4, guidance=9.0, class_index=2), plain)
    noise = painting(engine, plain).noise
    images = sample(engine.flow, noise, torch.tensor([plain.class_index]), guidance=0.0)
    # Made alone and unpadded, so the last bit of a float may differ: a grey level at most.
    difference = picture.pixels.int() - to_pixels(images, engine.flow.config).int()
    assert difference.abs().max() <= 1


def test_a_denoised_picture_is_the_sample_after_its_denoising_step(engine: Engine) -> None:
    request = generate_request(engine, guidance=0.0)
    (picture,) = made(engine, request)
    noise = painting(engine, request).noise
    labels = torch.tensor([request.class_index])
    images = denoise(engine.flow, sample(engine.flow, noise, labels, guidance=0.0), labels)
    difference = picture.pixels.int() - to_pixels(images, engine.flow.config).int()
    assert difference.abs().max() <= 1


def test_a_flow_without_classes_makes_pictures_of_no_class(make_engine: EngineMaker) -> None:
    engine = make_engine(num_classes=0)
    (picture,) = made(engine, generate_request(engine, class_index=NO_CLASS, n=2))
    assert picture.pixels.shape == (2, 1, 8, 8)


def test_a_flow_of_dequantised_density_makes_the_same_picture_twice(make_engine: EngineMaker) -> None:
    engine = make_engine(noise_type="uniform", sampling=SamplingDefaults(denoise=False))
    request = generate_request(engine, denoise=False)
    assert files(engine, [request]) == files(engine, [request])


def test_an_annealed_checkpoint_is_sampled_so(make_engine: EngineMaker) -> None:
    engine = make_engine(sampling=SamplingDefaults(annealed=True))
    card = dataclasses.replace(engine.card, sampling=SamplingDefaults(annealed=False))
    request = generate_request(engine, denoise=False)
    (annealed,), (constant,) = made(engine, request), made(dataclasses.replace(engine, card=card), request)
    assert not torch.equal(annealed.pixels, constant.pixels)


def test_linear_guidance_that_overflows_gives_way_to_the_corrected_rule(make_engine: EngineMaker) -> None:
    engine = make_engine(run_away)
    (picture,) = made(engine, generate_request(engine, class_index=0, guidance=20.0, n=3))
    assert picture.stabilised == (0, 1, 2)


def test_guidance_that_stays_finite_is_left_linear(make_engine: EngineMaker) -> None:
    engine = make_engine(run_away)
    (picture,) = made(engine, generate_request(engine, class_index=1, guidance=2.0, n=3))
    assert picture.stabilised == ()


def test_a_stabilised_picture_is_the_same_file_alone_and_beside_others(make_engine: EngineMaker) -> None:
    engine = make_engine(run_away)
    wild, tame = generate_request(engine, class_index=0, guidance=20.0), generate_request(engine, seed=8)
    assert files(engine, [tame, wild, tame])[1:2] == files(engine, [wild])


def test_the_neighbours_of_a_stabilised_picture_stay_as_they_are(make_engine: EngineMaker) -> None:
    engine = make_engine(run_away)
    wild, tame = generate_request(engine, class_index=0, guidance=20.0), generate_request(engine, seed=8)
    first, _, last = files(engine, [tame, wild, tame])
    assert [first, last] == files(engine, [tame]) * 2


def test_a_picture_that_no_rule_can_make_fails(make_engine: EngineMaker) -> None:
    engine = make_engine(overflow)
    (failure,) = engine.generate([generate_request(engine, class_index=0, n=2)])
    assert isinstance(failure, NonFiniteSample)


def test_a_request_that_fails_leaves_its_neighbours_their_pictures(make_engine: EngineMaker) -> None:
    engine = make_engine(overflow)
    hopeless, sound = generate_request(engine, class_index=0, n=2), generate_request(engine, guidance=0.5)
    results = engine.generate([sound, hopeless, sound])
    assert [isinstance(result, NonFiniteSample) for result in results] == [False, True, False]


def test_pixels_beside_a_request_that_fails_are_what_they_are_alone(make_engine: EngineMaker) -> None:
    engine = make_engine(overflow)
    sound = generate_request(engine, guidance=0.5)
    beside, _ = engine.generate([sound, generate_request(engine, class_index=0)])
    (alone,) = made(engine, sound)
    assert isinstance(beside, Pictures)
    assert torch.equal(beside.pixels, alone.pixels)


def test_a_request_for_other_weights_is_refused(engine: Engine) -> None:
    with pytest.raises(ModelChanged, match="other-weights"):
        engine.generate([generate_request(engine), generate_request(engine, model_digest="other-weights")])


def test_a_published_file_is_not_served_for_nothing_says_its_noise() -> None:
    with pytest.raises(CheckpointError, match="`tarflow import` it first"):
        Engine.start("golden", str(GOLDEN / "conditional.pth"), "cpu")


def test_the_facts_are_those_of_the_checkpoint(engine: Engine) -> None:
    facts = engine.facts()
    assert (facts.name, facts.digest, facts.dims) == ("tiny", engine.digest, 64)
    assert facts.class_names == ("cat", "dog", "owl")
    assert facts.architecture == "[4-16-2-1]"
    assert facts.defaults.guidance == 2.0


def test_the_facts_have_what_the_card_says(engine: Engine) -> None:
    card = Card(
        trained_on="drawings",
        command="tarflow train",
        metrics={"fid": 1.0},
        measured_by={"fid": "tarflow evaluate"},
        hardware="an abacus",
        hours=1.5,
        intended_use="tests",
        limits=("no faces",),
        notes=("slow",),
    )
    facts = dataclasses.replace(engine, card=card).facts()
    assert (facts.command, facts.hardware, facts.training_hours) == ("tarflow train", "an abacus", 1.5)
    assert (facts.intended_use, facts.limits, facts.notes) == ("tests", ("no faces",), ("slow",))
    assert (facts.trained_on, facts.measured_by) == ("drawings", {"fid": "tarflow evaluate"})
