"""Owns the laws of asking twice: equal requests, `Idempotency-Key`, and `If-None-Match` on a POST."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from redis import Redis
from rq.job import JobStatus

from service.content_negotiation import JSON, PNG
from tests.service.image_files import encoded, plain
from tests.service.problem_answers import problem_of
from tests.service.stand_in import StandIn, picture
from tests.service.submissions import QUEUE, at_once, put
from worker.contract import Kind, queue_name
from worker.errors import NonFiniteSample

Ask = Callable[..., httpx.Response]
JobOf = Callable[..., str]
AT_ONCE = {"Prefer": "respond-async"}
KEY = {"Idempotency-Key": "seven"}
SHADE = plain("L", (28, 28), 7)
IMAGE = encoded(SHADE, "PNG")
PICTURE = "/generate?seed=5"
SCORES = f"rq:queue:{queue_name(Kind.SCORE, 'digits')}"
OTHER_KEYS = [b"", b"7" * 256, b"se ven", b"se\tven", "sieben ä".encode(), b"\xe4"]


@pytest.fixture
def job_of(api: httpx.Client) -> JobOf:
    """The id of the job that a POST makes or finds, without a wait."""

    def ask(path: str = PICTURE, headers: dict[str, str] | None = None, **options: Any) -> str:
        answer = api.post(path, headers={**AT_ONCE, **(headers or {})}, **options)
        assert answer.is_success, answer.text
        return str(answer.headers["X-Job-Id"])

    return ask


def scored(image: bytes, media_type: str = "image/png") -> dict[str, Any]:
    """What makes a POST to `/score` of an image."""
    return {"path": "/score", "content": image, "headers": {"Content-Type": media_type}}


def test_equal_requests_in_flight_are_one_job(job_of: JobOf, redis: Redis) -> None:
    assert job_of() == job_of()
    assert redis.llen(QUEUE) == 1


def test_equal_requests_of_two_who_wait_are_answered_by_one_job(
    api: httpx.Client, stand_in: StandIn, redis: Redis
) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(api.post, PICTURE) for _ in range(2)]
        stand_in.work(Kind.GENERATE)
        found = [answer.result() for answer in answers]
    assert [answer.content for answer in found] == [picture(5)] * 2
    assert (len({answer.headers["X-Job-Id"] for answer in found}), redis.llen(QUEUE)) == (1, 0)


def test_what_was_made_once_is_answered_without_a_worker(generate: Ask, api: httpx.Client, redis: Redis) -> None:
    made, found = generate("?seed=5"), api.post(PICTURE)
    assert (found.content, found.headers["X-Job-Id"]) == (picture(5), made.headers["X-Job-Id"])
    assert redis.llen(QUEUE) == 0


def test_who_will_not_wait_is_answered_at_once_with_what_was_made(generate: Ask, api: httpx.Client) -> None:
    generate("?seed=5")
    answer = api.post(PICTURE, headers=AT_ONCE)
    assert (answer.status_code, answer.content) == (200, picture(5))


def test_the_type_of_the_answer_makes_no_other_job(job_of: JobOf) -> None:
    assert job_of(headers={"Accept": PNG}) == job_of(headers={"Accept": JSON})


def test_defaults_that_are_given_make_no_other_job(job_of: JobOf) -> None:
    assert job_of("/generate?seed=5&guidance=1.5&n=1&denoise=true&model=digits") == job_of()


def test_requests_without_a_seed_are_never_one_job(job_of: JobOf) -> None:
    assert len({job_of("/generate") for _ in range(5)}) == 5


@pytest.mark.parametrize("other", ["seed=6", "seed=5&class=7", "seed=5&n=2"])
def test_another_request_is_another_job(other: str, job_of: JobOf) -> None:
    assert job_of(f"/generate?{other}") != job_of()


def test_other_weights_make_another_job(job_of: JobOf, stand_in: StandIn) -> None:
    one = job_of()
    StandIn(stand_in.connection, stand_in.facts.model_copy(update={"digest": "e2" * 32})).announce()
    assert job_of() != one


def test_what_was_made_by_other_weights_is_not_answered(generate: Ask, job_of: JobOf, stand_in: StandIn) -> None:
    made = generate("?seed=5").headers["X-Job-Id"]
    StandIn(stand_in.connection, stand_in.facts.model_copy(update={"digest": "e2" * 32})).announce()
    assert job_of() != made


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELED])
def test_a_job_without_a_result_is_queued_anew(status: JobStatus, job_of: JobOf, redis: Redis) -> None:
    job_id = job_of()
    put(redis, job_id, status)
    assert job_of() != job_id


def test_the_same_image_is_scored_once(job_of: JobOf, redis: Redis) -> None:
    assert job_of(**scored(IMAGE)) == job_of(**scored(IMAGE))
    assert redis.llen(SCORES) == 1


def test_a_score_that_was_made_once_is_answered_without_a_worker(score: Ask, api: httpx.Client) -> None:
    made = score(content=IMAGE, headers={"Content-Type": "image/png"})
    assert api.post("/score", content=IMAGE, headers={"Content-Type": "image/png"}).json() == made.json()


def test_the_same_pixels_in_another_file_are_scored_once(job_of: JobOf) -> None:
    assert job_of(**scored(encoded(SHADE, "BMP"), "image/bmp")) == job_of(**scored(IMAGE))


def test_another_image_is_scored_for_itself(job_of: JobOf) -> None:
    assert job_of(**scored(encoded(plain("L", (28, 28), 8), "PNG"))) != job_of(**scored(IMAGE))


def test_a_key_with_its_request_is_one_job_whenever_it_comes(job_of: JobOf, stand_in: StandIn) -> None:
    before = job_of(headers=KEY)
    stand_in.work(Kind.GENERATE)
    assert job_of(headers=KEY) == before


def test_a_key_with_its_request_at_once_is_one_job(job_of: JobOf, redis: Redis) -> None:
    jobs = at_once(8, lambda _: job_of(headers=KEY))
    assert (len(set(jobs)), redis.llen(QUEUE)) == (1, 1)


def test_two_keys_may_find_the_same_job(job_of: JobOf) -> None:
    assert job_of(headers=KEY) == job_of(headers={"Idempotency-Key": "eight"})


@pytest.mark.parametrize("other", ["/generate?seed=6", "/generate?seed=5&class=7", "/generate?seed=5&n=2"])
def test_a_key_with_another_request_is_refused_by_its_name(other: str, job_of: JobOf, api: httpx.Client) -> None:
    job_of(headers=KEY)
    body = problem_of(api.post(other, headers={**AT_ONCE, **KEY}), 422)
    assert body["type"] == "urn:tarflow:problem:idempotency-key-reused"
    assert body["detail"].startswith("Idempotency-Key: ")


def test_a_key_of_a_picture_is_none_of_a_score(job_of: JobOf, api: httpx.Client) -> None:
    job_of(headers=KEY)
    problem_of(api.post("/score", content=IMAGE, headers={"Content-Type": "image/png", **AT_ONCE, **KEY}), 422)


def test_a_key_that_was_refused_once_still_finds_its_job(job_of: JobOf, api: httpx.Client) -> None:
    job_id = job_of(headers=KEY)
    api.post("/generate?seed=6", headers={**AT_ONCE, **KEY})
    assert job_of(headers=KEY) == job_id


@pytest.mark.parametrize("key", OTHER_KEYS)
def test_what_is_no_key_is_refused(key: bytes, api: httpx.Client, redis: Redis) -> None:
    answer = api.post(PICTURE, headers=[(b"Prefer", b"respond-async"), (b"Idempotency-Key", key)])
    detail = problem_of(answer, 400)["detail"]
    assert (detail, redis.llen(QUEUE)) == ("Idempotency-Key: takes 1..255 visible ASCII characters", 0)


@pytest.mark.parametrize("key", ["7", "7" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "~!@#$%^&*()"])
def test_what_is_a_key_is_taken(key: str, job_of: JobOf, redis: Redis) -> None:
    job_of(headers={"Idempotency-Key": key})
    assert redis.llen(QUEUE) == 1


def test_a_key_whose_job_failed_is_told_so_again(api: httpx.Client, stand_in: StandIn, redis: Redis) -> None:
    failing = StandIn(stand_in.connection, failure=NonFiniteSample("seven"))
    once = failing.work_while(Kind.GENERATE, lambda: api.post(PICTURE, headers=KEY))
    again = api.post(PICTURE, headers=KEY)
    assert problem_of(once, 500) == problem_of(again, 500)
    assert redis.llen(QUEUE) == 0


def test_who_has_the_picture_is_not_sent_it_again(generate: Ask, api: httpx.Client, redis: Redis) -> None:
    tag = generate("?seed=5").headers["ETag"]
    answer = api.post(PICTURE, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    assert redis.llen(QUEUE) == 0


def test_who_has_a_picture_that_has_long_expired_has_it_still(generate: Ask, api: httpx.Client, redis: Redis) -> None:
    tag = generate("?seed=5").headers["ETag"]
    redis.delete(*redis.keys("rq:*"), *redis.keys("tarflow:same:*"), *redis.keys("tarflow:pictures:*"))
    assert api.post(PICTURE, headers={"If-None-Match": tag}).status_code == 304
    assert redis.llen(QUEUE) == 0


def test_who_has_the_score_is_not_sent_it_again(score: Ask, api: httpx.Client) -> None:
    headers = {"Content-Type": "image/png"}
    tag = score(content=IMAGE, headers=headers).headers["ETag"]
    assert api.post("/score", content=IMAGE, headers={**headers, "If-None-Match": tag}).status_code == 304


def test_who_has_another_picture_is_made_this_one(generate: Ask) -> None:
    tag = generate("?seed=6").headers["ETag"]
    assert generate("?seed=5", headers={"If-None-Match": tag}).content == picture(5)


def test_who_has_the_picture_is_sent_the_json_he_asks_for(generate: Ask, api: httpx.Client) -> None:
    tag = generate("?seed=5").headers["ETag"]
    answer = api.post(PICTURE, headers={"If-None-Match": tag, "Accept": JSON})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, JSON)


def test_who_has_what_other_weights_made_is_made_it_anew(generate: Ask, job_of: JobOf, stand_in: StandIn) -> None:
    tag = generate("?seed=5").headers["ETag"]
    StandIn(stand_in.connection, stand_in.facts.model_copy(update={"digest": "e2" * 32})).announce()
    assert job_of(headers={"If-None-Match": tag})
