"""Laws of the contract: what crosses the queue comes out as it went in, and nothing out of bounds goes in."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from worker.contract import (
    MAX_GUIDANCE,
    MAX_SEED,
    NO_CLASS,
    CalibrationId,
    ClassScore,
    GenerateRequest,
    GenerateResult,
    ImageScore,
    JobState,
    Kind,
    ModelDefaults,
    ModelFacts,
    ScoreInput,
    ScoreRequest,
    ScoreResult,
    canonical_digest,
    facts_key,
    input_key,
    pace_key,
    pictures_key,
    queue_name,
    workers_key,
)

GENERATE = GenerateRequest(
    model="tiny",
    model_digest="d1",
    class_index=2,
    guidance=0.1,
    n=3,
    seed=MAX_SEED,
    denoise=True,
    attention_temperature=0.3,
)
SCORE = ScoreRequest(
    model="tiny",
    model_digest="d1",
    class_index="all",
    images=(ScoreInput(sha256="a"), ScoreInput(sha256="b", resized_from=(640, 480), converted_from="RGBA")),
)
FACTS = ModelFacts(
    name="tiny",
    digest="d1",
    image_size=8,
    in_channels=1,
    dims=64,
    class_names=("cat", "dog", "2"),
    num_classes=3,
    noise_std=0.1,
    noise_type="gaussian",
    density="noise-smoothed",
    architecture="[4-16-2-1]",
    defaults=ModelDefaults(guidance=2.0, denoise=True, attention_temperature=1.0),
    metrics={"bits_per_dim": 1.25},
)
SCORED = ScoreResult(
    scores=(
        ImageScore(
            log_likelihood_nats=-0.1 - 1e-17,
            bits_per_dim=1 / 3,
            log_prior_nats=-1e300,
            log_abs_det_nats=5e-324,
            marginal_log_likelihood_nats=-2 / 3,
            classes=(ClassScore(class_index=0, log_likelihood_nats=-0.7, posterior=0.1),),
        ),
    )
)
MESSAGES = [GENERATE, SCORE, FACTS, SCORED, GenerateResult(seeds=(1, 2), width=8, height=8, stabilised=(1,))]

OTHER: dict[str, Any] = {
    "model": "other",
    "model_digest": "d2",
    "class_index": 1,
    "guidance": 0.2,
    "n": 4,
    "seed": 0,
    "denoise": False,
    "attention_temperature": 0.4,
    "images": (ScoreInput(sha256="a"),),
    "calibration": CalibrationId(name="default", digest="d3"),
    "alpha": 0.05,
    "patches": True,
    "heat_map": True,
    "prior": (0.5, 0.25, 0.25),
    "classes": 10,
}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_from_json_as_it_was(message: BaseModel) -> None:
    assert type(message).model_validate_json(message.model_dump_json()) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_an_unknown_field_is_refused(message: BaseModel) -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        type(message).model_validate({**message.model_dump(), "surprise": 1})


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_cannot_be_changed(message: BaseModel) -> None:
    field = next(iter(type(message).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(message, field, getattr(message, field))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("class_index", -2),
        ("guidance", -0.1),
        ("guidance", MAX_GUIDANCE + 0.1),
        ("guidance", float("nan")),
        ("n", 0),
        ("n", 17),
        ("seed", -1),
        ("seed", MAX_SEED + 1),
        ("attention_temperature", 0.0),
        ("attention_temperature", 1.1),
        ("attention_temperature", float("nan")),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        GenerateRequest(**GENERATE.model_dump() | {field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("class_index", NO_CLASS),
        ("guidance", 0),
        ("guidance", MAX_GUIDANCE),
        ("n", 1),
        ("n", 16),
        ("seed", 0),
        ("seed", MAX_SEED),
        ("attention_temperature", 1.0),
    ],
)
def test_the_bounds_themselves_are_allowed(field: str, value: float) -> None:
    assert getattr(GenerateRequest(**GENERATE.model_dump() | {field: value}), field) == value


@pytest.mark.parametrize("images", [(), (ScoreInput(sha256="a"),) * 65], ids=len)
def test_a_score_has_one_to_sixty_four_images(images: tuple[ScoreInput, ...]) -> None:
    with pytest.raises(ValidationError, match="images"):
        ScoreRequest(**SCORE.model_dump() | {"images": images})


@pytest.mark.parametrize("class_index", [-2, "every"])
def test_a_score_is_for_a_class_or_none_or_all(class_index: int | str) -> None:
    with pytest.raises(ValidationError, match="class_index"):
        ScoreRequest(**SCORE.model_dump() | {"class_index": class_index})


def test_every_image_has_a_seed_that_can_be_asked_for() -> None:
    assert GENERATE.seeds == (MAX_SEED, 0, 1)


@pytest.mark.parametrize(("wanted", "index"), [(None, NO_CLASS), ("cat", 0), ("dog", 1), ("0", 0), ("1", 1), ("2", 2)])
def test_a_class_is_meant_by_its_name_or_its_number(wanted: str | None, index: int) -> None:
    assert FACTS.class_index(wanted) == index


def test_a_name_comes_before_a_number() -> None:
    facts = FACTS.model_copy(update={"class_names": ("2", "1", "0")})
    assert facts.class_index("2") == 0


@pytest.mark.parametrize("wanted", ["3", "-1", "cow", "", " 1", "1.0", "²", "٣", "01", "all", "Cat"])
def test_what_is_no_class_is_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match=r"is no class of tiny: give 0\.\.2 or one of cat, dog, 2$"):
        FACTS.class_index(wanted)


def test_a_model_without_classes_says_that_it_has_none() -> None:
    facts = FACTS.model_copy(update={"class_names": (), "num_classes": 0})
    with pytest.raises(ValueError, match="it has no classes"):
        facts.class_index("0")


def test_a_refusal_lists_some_of_many_names() -> None:
    names = tuple(f"c{index}" for index in range(1000))
    facts = FACTS.model_copy(update={"class_names": names, "num_classes": 1000})
    with pytest.raises(ValueError, match=r"0\.\.999 or one of c0, .*, c19 and 980 more$"):
        facts.class_index("cow")


@pytest.mark.parametrize(("index", "name"), [(NO_CLASS, None), (0, "cat"), (2, "2")])
def test_a_class_has_its_name(index: int, name: str | None) -> None:
    assert FACTS.class_name(index) == name


def test_a_class_without_a_name_is_called_by_its_number() -> None:
    assert FACTS.model_copy(update={"class_names": ()}).class_name(2) == "2"


@pytest.mark.parametrize(
    ("request_", "field"),
    [(request, field) for request in (GENERATE, SCORE) for field in type(request).model_fields],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_digest_changes_with_every_field(request_: GenerateRequest | ScoreRequest, field: str) -> None:
    changed = request_.model_copy(update={field: OTHER[field]})
    assert canonical_digest(changed) != canonical_digest(request_)


@pytest.mark.parametrize("request_", [GENERATE, SCORE], ids=lambda request: type(request).__name__)
def test_equal_requests_have_equal_digests(request_: GenerateRequest | ScoreRequest) -> None:
    again = type(request_).model_validate_json(request_.model_dump_json())
    assert canonical_digest(again) == canonical_digest(request_)


def test_only_queued_and_running_jobs_may_still_change() -> None:
    assert {state for state in JobState if not state.is_terminal} == {JobState.QUEUED, JobState.RUNNING}


def test_no_two_things_share_a_redis_key() -> None:
    kinds, names = list(Kind), ("a", "b")
    keys = [make(kind, name) for make in (queue_name, workers_key, pace_key) for kind in kinds for name in names]
    keys += [make(name) for make in (input_key, pictures_key, facts_key) for name in names]
    assert len(set(keys)) == len(keys)
