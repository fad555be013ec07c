"""Owns the laws of asking again: after a hang-up, while a job is being cancelled, without a seed, with a long body."""

import httpx
from redis import Redis
from rq.job import JobStatus

from tests.service.callers import awaited, until, waiting
from tests.service.submissions import put
from worker.contract import CANCEL_FIELD

AT_ONCE = {"Prefer": "respond-async"}
KEYED = {**AT_ONCE, "Idempotency-Key": "seven"}


def test_who_asks_while_a_job_is_being_cancelled_gets_another(api: httpx.Client, redis: Redis) -> None:
    path = api.post("/generate?seed=5", headers=AT_ONCE).headers["Location"]
    put(redis, path, JobStatus.STARTED)
    assert api.delete(path).status_code == 202
    assert api.post("/generate?seed=5", headers=AT_ONCE).headers["Location"] != path


def test_who_comes_back_after_a_hang_up_gets_another_job(api: httpx.Client, redis: Redis) -> None:
    with waiting(api, "/generate?seed=5"):
        job_id = awaited(redis, clients=1)
        put(redis, job_id, JobStatus.STARTED)
    until(lambda: redis.hget(f"rq:job:{job_id}", CANCEL_FIELD))
    assert api.post("/generate?seed=5", headers=AT_ONCE).headers["X-Job-Id"] != job_id


def test_a_key_whose_job_was_cancelled_may_be_used_again(api: httpx.Client) -> None:
    first = api.post("/generate?seed=5", headers=KEYED)
    assert api.delete(first.headers["Location"]).status_code == 200
    again = api.post("/generate?seed=5", headers=KEYED)
    assert (again.status_code, again.headers["Location"] != first.headers["Location"]) == (202, True)


def test_a_key_without_a_seed_is_the_same_job(api: httpx.Client) -> None:
    one, two = (api.post("/generate?class=7", headers=KEYED) for _ in range(2))
    assert one.headers["Location"] == two.headers["Location"]


def test_a_body_that_nobody_asked_for_is_no_hang_up(api: httpx.Client) -> None:
    answer = api.post("/generate?seed=5", content=bytes(50_001), headers={"Prefer": "wait=1"})
    assert answer.status_code == 202, answer.text


def test_any_tag_is_not_the_tag_of_what_was_never_made(api: httpx.Client) -> None:
    assert api.post("/generate?seed=5", headers={**AT_ONCE, "If-None-Match": "*"}).status_code == 202


def test_a_parameter_given_twice_is_refused_by_name(api: httpx.Client) -> None:
    answer = api.post("/generate?seed=5&seed=6", headers=AT_ONCE)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "seed")
