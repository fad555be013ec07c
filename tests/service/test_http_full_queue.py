"""Owns the laws of a service without room: 429, what it says, and what it leaves alone."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from redis import Redis

from service.settings import ServiceSettings
from tests.service.image_files import encoded, plain
from tests.service.problem_answers import problem_of, retry_after_s
from tests.service.stand_in import StandIn
from tests.service.submissions import QUEUE
from worker.contract import HELD_BYTES_KEY, MAX_IMAGES, Kind, pace_key, workers_key

AT_ONCE = {"Prefer": "respond-async"}
IMAGE = encoded(plain("L", (28, 28), 7), "PNG")
MAX_QUEUED: int = ServiceSettings.model_fields["max_queued"].default
MAX_HELD_BYTES: int = ServiceSettings.model_fields["max_held_bytes"].default
SCORE = {"Content-Type": "image/png", **AT_ONCE}


@pytest.fixture
def full(api: httpx.Client, redis: Redis) -> httpx.Client:
    """A client of an app whose queue of pictures has no room; the first job is that of seed 0."""
    for seed in range(MAX_QUEUED // MAX_IMAGES):
        assert api.post(f"/generate?n={MAX_IMAGES}&seed={seed}", headers=AT_ONCE).status_code == 202
    assert redis.llen(QUEUE) == MAX_QUEUED // MAX_IMAGES
    return api


@pytest.fixture
def stuffed(api: httpx.Client, redis: Redis) -> httpx.Client:
    """A client of an app that keeps as many bytes as it may."""
    redis.set(HELD_BYTES_KEY, MAX_HELD_BYTES)
    return api


def test_a_full_queue_is_a_problem_that_says_the_limit(full: httpx.Client) -> None:
    body = problem_of(full.post("/generate"), 429)
    assert body["type"] == "urn:tarflow:problem:queue-full"
    assert body["detail"] == f"{MAX_QUEUED} images wait already, at most {MAX_QUEUED} may"


def test_who_will_not_wait_is_refused_just_so(full: httpx.Client) -> None:
    problem_of(full.post("/generate", headers=AT_ONCE), 429)


def test_who_is_refused_is_told_when_to_come_back(full: httpx.Client) -> None:
    assert retry_after_s(full.post("/generate"))


@pytest.mark.parametrize("workers", [1, 4])
def test_that_is_when_all_that_waits_should_be_done(workers: int, full: httpx.Client, redis: Redis) -> None:
    redis.set(pace_key(Kind.GENERATE, "digits"), 2.5)
    for index in range(1, workers):
        redis.zadd(workers_key(Kind.GENERATE, "digits"), {f"worker {index}": time.time()})
    assert retry_after_s(full.post("/generate")) == 2.5 * MAX_QUEUED / workers


def test_at_any_pace_it_is_at_least_a_second(full: httpx.Client, redis: Redis) -> None:
    redis.set(pace_key(Kind.GENERATE, "digits"), 0.0001)
    assert retry_after_s(full.post("/generate")) == 1


def test_who_is_refused_leaves_nothing_in_redis(full: httpx.Client, redis_names: Callable[[], set[str]]) -> None:
    before = redis_names()
    full.post("/generate", headers={"Idempotency-Key": "seven"})
    assert redis_names() == before


def test_a_score_that_is_refused_leaves_no_pixels(api: httpx.Client, redis_names: Callable[[], set[str]]) -> None:
    for job in range(MAX_QUEUED // 64):
        shades = [encoded(plain("L", (28, 28), job * 64 + shade), "PNG") for shade in range(64)]
        files = [("image", ("seven.png", shade, "image/png")) for shade in shades]
        assert api.post("/score", files=files, headers=AT_ONCE).status_code == 202
    before = redis_names()
    problem_of(api.post("/score?class=7", content=IMAGE, headers=SCORE), 429)
    assert redis_names() == before


def test_the_other_kind_of_work_has_room(full: httpx.Client) -> None:
    assert full.post("/score", content=IMAGE, headers=SCORE).status_code == 202


def test_what_is_queued_already_is_no_more_work(full: httpx.Client) -> None:
    assert full.post(f"/generate?n={MAX_IMAGES}&seed=0", headers=AT_ONCE).status_code == 202


def test_a_job_that_is_done_makes_room(full: httpx.Client, stand_in: StandIn) -> None:
    stand_in.work(Kind.GENERATE)
    assert full.post(f"/generate?n={MAX_IMAGES}", headers=AT_ONCE).status_code == 202


def test_a_job_that_is_cancelled_makes_room(full: httpx.Client, redis: Redis) -> None:
    first: Any = redis.lindex(QUEUE, 0)
    full.delete(f"/jobs/{first.decode()}")
    assert full.post(f"/generate?n={MAX_IMAGES}", headers=AT_ONCE).status_code == 202


def test_who_was_refused_may_come_again_with_his_key(full: httpx.Client, stand_in: StandIn) -> None:
    headers = {**AT_ONCE, "Idempotency-Key": "seven"}
    refused = full.post("/generate?seed=5000", headers=headers)
    stand_in.work(Kind.GENERATE)
    assert (refused.status_code, full.post("/generate?seed=5000", headers=headers).status_code) == (429, 202)


def test_too_many_kept_pictures_are_a_problem_too(stuffed: httpx.Client) -> None:
    answer = stuffed.post("/generate", headers=AT_ONCE)
    assert problem_of(answer, 429)["detail"] == "the results that are kept take all the room there is"
    assert retry_after_s(answer)


def test_without_room_for_pictures_nothing_is_queued(stuffed: httpx.Client, redis: Redis) -> None:
    stuffed.post("/generate", headers=AT_ONCE)
    assert redis.llen(QUEUE) == 0


def test_with_a_byte_of_room_a_job_is_let_in(api: httpx.Client, redis: Redis) -> None:
    redis.set(HELD_BYTES_KEY, MAX_HELD_BYTES - 1)
    assert api.post("/generate", headers=AT_ONCE).status_code == 202


@pytest.mark.parametrize("path", ["/generate", "/score"])
def test_the_answer_of_a_full_queue_is_documented(path: str, api: httpx.Client) -> None:
    responses = api.get("/openapi.json").json()["paths"][path]["post"]["responses"]
    assert list(responses["429"]["content"]) == ["application/problem+json"]
