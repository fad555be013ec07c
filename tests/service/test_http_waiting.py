"""Owns the laws of waiting for a result, or not: 200, 202, and what a client is told meanwhile."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from redis import Redis

from tests.service.image_files import encoded, plain
from tests.service.problem_answers import retry_after_s
from tests.service.stand_in import StandIn, picture
from worker.contract import Kind, pace_key, workers_key

Ask = Callable[..., httpx.Response]
AT_ONCE = {"Prefer": "respond-async"}
IMAGE = encoded(plain("L", (28, 28), 7), "PNG")


def test_who_waits_gets_the_picture(generate: Ask) -> None:
    assert generate("?seed=5", headers={"Prefer": "wait=20"}).content == picture(5)


def test_who_says_nothing_waits(generate: Ask) -> None:
    assert generate().status_code == 200


def test_every_one_of_those_who_wait_gets_his_own(api: httpx.Client, stand_in: StandIn) -> None:
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(api.post, f"/generate?seed={seed}") for seed in range(5)]
        stand_in.work(Kind.GENERATE, jobs=5)
        assert [answer.result().content for answer in answers] == [picture(seed) for seed in range(5)]


def test_who_will_not_wait_is_told_where_the_result_will_be(api: httpx.Client) -> None:
    answer = api.post("/generate", headers=AT_ONCE)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{answer.headers['X-Job-Id']}"


def test_a_score_is_not_waited_for_either(api: httpx.Client) -> None:
    answer = api.post("/score", content=IMAGE, headers={"Content-Type": "image/png", **AT_ONCE})
    assert answer.headers["Location"] == f"/jobs/{answer.headers['X-Job-Id']}"


@pytest.mark.parametrize("prefer", ["wait=0", "wait=1", "respond-async, wait=1"])
def test_a_wait_that_runs_out_ends_like_no_wait(prefer: str, api: httpx.Client) -> None:
    answer = api.post("/generate", headers={"Prefer": prefer})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "respond-async, wait=0"])
def test_a_preference_that_was_honoured_is_named(prefer: str, api: httpx.Client) -> None:
    assert api.post("/generate", headers={"Prefer": prefer}).headers["Preference-Applied"] == prefer


def test_a_wish_for_a_later_answer_was_not_honoured_where_it_came_now(generate: Ask, api: httpx.Client) -> None:
    generate("?seed=5")
    answer = api.post("/generate?seed=5", headers=AT_ONCE)
    assert (answer.status_code, "Preference-Applied" in answer.headers) == (200, False)


def test_previews_are_kept_of_a_job_that_is_new(api: httpx.Client) -> None:
    headers = {"Prefer": "respond-async, previews"}
    applied = [api.post("/generate?seed=5", headers=headers).headers["Preference-Applied"] for _ in range(2)]
    assert applied == ["respond-async, previews", "respond-async"]


def test_a_score_has_no_previews(api: httpx.Client) -> None:
    headers = {"Content-Type": "image/png", "Prefer": "respond-async, previews"}
    assert api.post("/score", content=IMAGE, headers=headers).headers["Preference-Applied"] == "respond-async"


def test_a_wait_that_was_cut_to_a_minute_says_so(generate: Ask) -> None:
    assert generate(headers={"Prefer": "wait=999"}).headers["Preference-Applied"] == "wait=60"


def test_without_a_preference_none_was_honoured(generate: Ask) -> None:
    assert "Preference-Applied" not in generate(headers={"Prefer": "handling=lenient"}).headers


def test_the_body_says_the_state_the_place_and_the_request(api: httpx.Client) -> None:
    answer = api.post("/generate?class=7&seed=5", headers=AT_ONCE)
    body = answer.json()
    assert set(body) == {
        "job_id", "kind", "state", "position", "progress", "eta_s", "created_at", "started_at", "ended_at", "failure",
        "request",
    }  # fmt: skip
    assert body["job_id"] == answer.headers["X-Job-Id"]
    assert (body["kind"], body["state"], body["position"]) == ("generate", "queued", 0)
    assert (body["request"]["class_index"], body["request"]["seed"]) == (7, 5)
    assert (body["started_at"], body["ended_at"], body["failure"]) == (None, None, None)


def test_the_estimate_is_the_pace_of_late_times_the_queue(api: httpx.Client, redis: Redis) -> None:
    redis.set(pace_key(Kind.GENERATE, "digits"), 3.5)
    answers = [api.post("/generate", headers=AT_ONCE) for _ in range(3)]
    assert [retry_after_s(answer) for answer in answers] == [4, 7, 11]


def test_before_anything_was_measured_a_score_is_taken_to_be_quick(api: httpx.Client) -> None:
    files = [("image", ("a.png", IMAGE, "image/png"))] * 64
    headers = [api.post(path, files=files, headers=AT_ONCE) for path in ("/score", "/score?class=all")]
    assert [retry_after_s(answer) for answer in headers] == [2, 16]


def test_a_second_worker_halves_the_estimate(api: httpx.Client, redis: Redis) -> None:
    redis.set(pace_key(Kind.GENERATE, "digits"), 10)
    redis.zadd(workers_key(Kind.GENERATE, "digits"), {"another": float("inf")})
    assert retry_after_s(api.post("/generate", headers=AT_ONCE)) == 5


def test_the_estimate_is_the_same_in_header_and_body(api: httpx.Client) -> None:
    answer = api.post("/generate", headers=AT_ONCE)
    assert retry_after_s(answer) == answer.json()["eta_s"]


def test_who_comes_back_in_time_finds_the_picture(api: httpx.Client, stand_in: StandIn) -> None:
    location = api.post("/generate?seed=5", headers=AT_ONCE).headers["Location"]
    stand_in.work(Kind.GENERATE)
    assert api.get(f"{location}/result").content == picture(5)
