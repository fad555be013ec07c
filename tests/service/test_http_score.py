"""Owns the laws of what `POST /score` answers: a result per image, in order, in the words of the design."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from redis import Redis
from rq.job import Job

from tests.service.image_files import encoded, noise, plain
from tests.service.problem_answers import fields_of
from tests.service.stand_in import DIGITS, FACTS
from worker.contract import Kind, ScoreRequest, input_key, job_key
from worker.contract.score_answer import VERDICT_FIELDS

Ask = Callable[..., httpx.Response]
PNG_TYPE = {"Content-Type": "image/png"}
GREY = encoded(plain("L", (28, 28), 7), "PNG")
COLOURS = encoded(noise((30, 20)), "PNG")
ALONE = {
    "log_likelihood_nats": 784.0,
    "bits_per_dim": 1.0,
    "log_prior_nats": 783.0,
    "log_abs_det_nats": 1.0,
    "dims": 784,
    "density": FACTS.density,
    "resized_from": None,
    "converted_from": None,
    **dict.fromkeys(("complexity_bits_per_dim", *VERDICT_FIELDS, "alpha", "calibration")),
    "warnings": ["no calibration: a likelihood alone does not say whether an image is unusual"],
}


def queued(answer: httpx.Response, redis: Redis) -> ScoreRequest:
    """The request that a worker would get."""
    job = Job.fetch(answer.headers["X-Job-Id"], connection=redis, serializer="json")
    assert job.func_name == Kind.SCORE
    return ScoreRequest.model_validate(job.args[0])


def test_an_image_is_answered_with_its_likelihood(score: Ask) -> None:
    answer = score(content=GREY, headers=PNG_TYPE)
    assert answer.json() == {
        "job_id": answer.headers["X-Job-Id"],
        "model": "digits",
        "class": None,
        "class_name": None,
        "results": [ALONE],
    }


def test_what_was_done_to_each_image_is_said_in_order(score: Ask) -> None:
    files = [("image", ("a.png", content, "image/png")) for content in (GREY, COLOURS, GREY)]
    results: list[dict[str, Any]] = score(files=files).json()["results"]
    assert [each["resized_from"] for each in results] == [None, [30, 20], None]
    assert [each["converted_from"] for each in results] == [None, "RGB", None]


@pytest.mark.parametrize("wanted", ["7", "seven"])
def test_the_class_is_answered_by_number_and_name(wanted: str, score: Ask) -> None:
    body = score(f"?class={wanted}", content=GREY, headers=PNG_TYPE).json()
    assert (body["class"], body["class_name"]) == (7, "seven")


def test_an_unknown_class_is_told_the_range_and_the_names(api: httpx.Client) -> None:
    message = fields_of(api.post("/score?class=eleven", content=GREY, headers=PNG_TYPE))["query class"]
    assert message == f"'eleven' is no class of digits: give 0..9 or one of {', '.join(DIGITS)}, or all"


def test_all_classes_are_answered_with_their_posteriors(score: Ask) -> None:
    body = score("?class=all", content=GREY, headers=PNG_TYPE).json()
    classes = [
        {"class": index, "class_name": name, "log_likelihood_nats": 784.0, "posterior": 0.1}
        for index, name in enumerate(DIGITS)
    ]
    assert (body["class"], body["class_name"]) == ("all", None)
    assert body["results"] == [{**ALONE, "marginal_log_likelihood_nats": 784.0, "classes": classes}]


def test_the_worker_finds_the_pixels_one_image_after_the_other(api: httpx.Client, redis: Redis) -> None:
    shades = [encoded(plain("L", (28, 28), shade), "PNG") for shade in (1, 2)]
    files = [("image", ("a.png", content, "image/png")) for content in shades]
    answer = api.post("/score", files=files, headers={"Prefer": "respond-async"})
    assert redis.get(input_key(answer.headers["X-Job-Id"])) == b"\1" * 784 + b"\2" * 784


def test_the_pixels_expire_with_the_job(api: httpx.Client, redis: Redis) -> None:
    answer = api.post("/score", content=GREY, headers={**PNG_TYPE, "Prefer": "respond-async"})
    job_id = answer.headers["X-Job-Id"]
    assert redis.ttl(input_key(job_id)) == pytest.approx(redis.ttl(job_key(job_id)), abs=5)


def test_the_queued_request_holds_every_default(api: httpx.Client, redis: Redis) -> None:
    answer = api.post("/score", content=GREY, headers={**PNG_TYPE, "Prefer": "respond-async"})
    request = queued(answer, redis)
    assert (request.model, request.model_digest, request.class_index) == (FACTS.name, FACTS.digest, -1)
    assert [(each.resized_from, each.converted_from) for each in request.images] == [(None, None)]


def test_the_same_image_is_answered_under_the_same_tag(score: Ask, api: httpx.Client) -> None:
    one, two = score(content=GREY, headers=PNG_TYPE), api.post("/score", content=GREY, headers=PNG_TYPE)
    assert one.headers["ETag"] == two.headers["ETag"]


def test_another_image_is_answered_under_another_tag(score: Ask) -> None:
    one, two = (score(content=content, headers=PNG_TYPE) for content in (GREY, COLOURS))
    assert one.headers["ETag"] != two.headers["ETag"]


def test_another_class_is_answered_under_another_tag(score: Ask) -> None:
    one, two = (score(query, content=GREY, headers=PNG_TYPE) for query in ("", "?class=7"))
    assert one.headers["ETag"] != two.headers["ETag"]


def test_the_answer_says_its_job_and_model(score: Ask) -> None:
    answer = score(content=GREY, headers=PNG_TYPE)
    assert answer.headers["X-Model"] == "digits"
    assert answer.headers["X-Job-Id"] == json.loads(answer.text)["job_id"]
