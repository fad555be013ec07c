"""Owns the laws of what `POST /generate` answers: pictures, headers, JSON, and the request that was queued."""

import base64
from collections.abc import Callable

import httpx
import pytest
from redis import Redis
from rq.job import Job

from service.content_negotiation import JSON, PNG
from tests.service.stand_in import FACTS, picture, sheet
from worker.contract import MAX_SEED, GenerateRequest, Kind

Ask = Callable[..., httpx.Response]
AS_JSON = {"Accept": JSON}


@pytest.fixture
def queued(api: httpx.Client, redis: Redis) -> Callable[[str], GenerateRequest]:
    """The request that a worker would get."""

    def ask(query: str) -> GenerateRequest:
        answer = api.post(f"/generate{query}", headers={"Prefer": "respond-async"})
        job = Job.fetch(answer.headers["X-Job-Id"], connection=redis, serializer="json")
        assert job.func_name == Kind.GENERATE
        return GenerateRequest.model_validate(job.args[0])

    return ask


def test_one_picture_is_the_picture_itself(generate: Ask) -> None:
    assert generate("?seed=5").content == picture(5)


def test_several_pictures_are_a_contact_sheet(generate: Ask) -> None:
    assert generate("?n=3").content == sheet(3)


def test_a_picture_is_a_png_unless_told_otherwise(generate: Ask) -> None:
    assert generate().headers["Content-Type"] == PNG


def test_json_holds_what_the_design_says(generate: Ask) -> None:
    answer = generate("?class=7&guidance=2&seed=5&denoise=false", headers=AS_JSON)
    assert answer.json() == {
        "job_id": answer.headers["X-Job-Id"],
        "model": "digits",
        "class": 7,
        "class_name": "seven",
        "guidance": 2.0,
        "seed": 5,
        "denoise": False,
        "attention_temperature": 1.0,
        "images": [
            {"seed": 5, "png_base64": base64.b64encode(picture(5)).decode(), "width": 28, "height": 28},
        ],
    }


def test_json_without_a_class_names_none(generate: Ask) -> None:
    body = generate(headers=AS_JSON).json()
    assert (body["class"], body["class_name"]) == (None, None)


def test_json_holds_every_picture_with_its_seed(generate: Ask) -> None:
    images = generate("?n=3&seed=5", headers=AS_JSON).json()["images"]
    pictures = [(each["seed"], base64.b64decode(each["png_base64"])) for each in images]
    assert pictures == [(seed, picture(seed)) for seed in (5, 6, 7)]


def test_the_seeds_after_the_last_begin_anew(generate: Ask) -> None:
    images = generate(f"?n=2&seed={MAX_SEED}", headers=AS_JSON).json()["images"]
    assert [each["seed"] for each in images] == [MAX_SEED, 0]


@pytest.mark.parametrize("seed", [0, 5, MAX_SEED])
def test_a_seed_is_reported_as_it_was_given(seed: int, generate: Ask) -> None:
    answer = generate(f"?seed={seed}", headers=AS_JSON)
    assert (answer.headers["X-Seed"], answer.json()["seed"]) == (str(seed), seed)


def test_a_drawn_seed_is_reported(generate: Ask) -> None:
    answer = generate(headers=AS_JSON)
    assert answer.json()["seed"] == int(answer.headers["X-Seed"])


def test_a_drawn_seed_is_another_for_each_request(queued: Callable[[str], GenerateRequest]) -> None:
    assert len({queued("").seed for _ in range(5)}) == 5


def test_a_picture_that_is_asked_for_again_by_its_seed_is_the_same(generate: Ask, api: httpx.Client) -> None:
    drawn = generate()
    assert api.post(f"/generate?seed={drawn.headers['X-Seed']}").content == drawn.content


@pytest.mark.parametrize("accept", [PNG, JSON])
def test_both_answers_say_their_job_and_model(accept: str, generate: Ask) -> None:
    headers = generate(headers={"Accept": accept}).headers
    assert len(headers["X-Job-Id"]) == 32
    assert headers["X-Model"] == "digits"


@pytest.mark.parametrize("accept", [PNG, JSON])
def test_both_answers_vary_with_what_is_accepted(accept: str, generate: Ask) -> None:
    assert generate(headers={"Accept": accept}).headers["Vary"] == "Accept"


@pytest.mark.parametrize("wanted", ["7", "seven"])
def test_a_class_may_be_given_by_number_or_name(wanted: str, queued: Callable[[str], GenerateRequest]) -> None:
    assert queued(f"?class={wanted}").class_index == 7


def test_the_queued_request_holds_every_default(queued: Callable[[str], GenerateRequest]) -> None:
    request = queued("?seed=5")
    assert request == GenerateRequest(
        model="digits",
        model_digest=FACTS.digest,
        class_index=-1,
        guidance=FACTS.defaults.guidance,
        n=1,
        seed=5,
        denoise=FACTS.defaults.denoise,
        attention_temperature=FACTS.defaults.attention_temperature,
    )


def test_the_queued_request_holds_everything_that_was_given(queued: Callable[[str], GenerateRequest]) -> None:
    request = queued("?class=3&guidance=0&n=16&seed=0&denoise=false&attention_temperature=0.5&model=digits")
    assert request == GenerateRequest(
        model="digits",
        model_digest=FACTS.digest,
        class_index=3,
        guidance=0.0,
        n=16,
        seed=0,
        denoise=False,
        attention_temperature=0.5,
    )


def test_a_job_names_its_kind_and_carries_no_callback(api: httpx.Client, redis: Redis) -> None:
    job_id = api.post("/generate", headers={"Prefer": "respond-async"}).headers["X-Job-Id"]
    job = Job.fetch(job_id, connection=redis, serializer="json")
    assert (job.func_name, job.kwargs, job.success_callback, job.failure_callback) == ("generate", {}, None, None)
