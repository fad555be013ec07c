"""Owns the laws of clients that hang up while they wait: whose job ends, and whose does not."""

from collections.abc import Callable

import httpx
import pytest
from redis import Redis
from rq.job import JobStatus

from tests.service.callers import awaited, until, waiting
from tests.service.image_files import encoded, plain
from tests.service.problem_answers import problem_of
from tests.service.stand_in import StandIn, picture
from tests.service.submissions import put, where
from worker.contract import CANCEL_FIELD, Kind

AT_ONCE = {"Prefer": "respond-async"}
IMAGE = encoded(plain("L", (28, 28), 7), "PNG")
PICTURE = "/generate?seed=5"


@pytest.fixture
def is_cancelled(api: httpx.Client) -> Callable[[str], bool]:
    """Whether a job is seen to be cancelled."""
    return lambda job_id: api.get(f"/jobs/{job_id}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("path", "body"), [(PICTURE, b""), (PICTURE, b"seven"), ("/score", IMAGE)], ids=["picture", "picture-body", "score"]
)
def test_a_job_whose_only_client_hangs_up_is_cancelled(
    path: str, body: bytes, api: httpx.Client, redis: Redis, is_cancelled: Callable[[str], bool]
) -> None:
    with waiting(api, path, body):
        job_id = awaited(redis, clients=1)
    until(lambda: is_cancelled(job_id))
    assert where(redis, job_id) == set()


def test_a_client_that_sends_more_than_is_asked_for_has_not_hung_up(api: httpx.Client, stand_in: StandIn) -> None:
    answer = stand_in.work_while(Kind.GENERATE, lambda: api.post(PICTURE, content=b"seven"))
    assert answer.content == picture(5)


def test_a_job_that_another_waits_for_is_not_cancelled(api: httpx.Client, redis: Redis, stand_in: StandIn) -> None:
    with waiting(api, PICTURE) as stays:
        awaited(redis, clients=1)
        with waiting(api, PICTURE):
            awaited(redis, clients=2)
        job_id = awaited(redis, clients=1)
        state = api.get(f"/jobs/{job_id}").json()["state"]
        stand_in.work(Kind.GENERATE)
        assert (state, stays.getresponse().read()) == ("queued", picture(5))


def test_the_one_who_asked_first_may_hang_up_too(api: httpx.Client, redis: Redis, stand_in: StandIn) -> None:
    with waiting(api, PICTURE) as goes:
        awaited(redis, clients=1)
        with waiting(api, PICTURE) as stays:
            awaited(redis, clients=2)
            goes.close()
            awaited(redis, clients=1)
            stand_in.work(Kind.GENERATE)
            assert stays.getresponse().read() == picture(5)


def test_a_job_that_both_leave_is_cancelled(
    api: httpx.Client, redis: Redis, is_cancelled: Callable[[str], bool]
) -> None:
    with waiting(api, PICTURE), waiting(api, PICTURE):
        job_id = awaited(redis, clients=2)
    until(lambda: is_cancelled(job_id))


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_a_job_that_somebody_will_come_back_for_is_not_cancelled(
    first: bool, api: httpx.Client, redis: Redis, stand_in: StandIn
) -> None:
    def will_come_back() -> str:
        return str(api.post(PICTURE, headers=AT_ONCE).headers["Location"])

    path = will_come_back() if first else ""
    with waiting(api, PICTURE):
        awaited(redis, clients=1 + first)
        path = path or will_come_back()
    awaited(redis, clients=1)
    stand_in.work(Kind.GENERATE)
    assert api.get(f"{path}/result").content == picture(5)


def test_who_asks_again_by_its_key_keeps_its_job_when_another_leaves(
    api: httpx.Client, redis: Redis, stand_in: StandIn
) -> None:
    with waiting(api, PICTURE) as other:
        with waiting(api, PICTURE, key="seven"):
            awaited(redis, clients=2)
        awaited(redis, clients=1)
        with waiting(api, PICTURE, key="seven") as again:
            awaited(redis, clients=2)
            other.close()
            awaited(redis, clients=1)
            stand_in.work(Kind.GENERATE)
            assert again.getresponse().read() == picture(5)


def test_who_cancels_and_then_hangs_up_ends_nothing_for_another(
    api: httpx.Client, redis: Redis, stand_in: StandIn
) -> None:
    with waiting(api, PICTURE) as stays:
        with waiting(api, PICTURE):
            job_id = awaited(redis, clients=2)
            assert api.delete(f"/jobs/{job_id}").status_code == 202
        awaited(redis, clients=1)
        stand_in.work(Kind.GENERATE)
        assert stays.getresponse().read() == picture(5)


def test_who_asks_again_after_hanging_up_gets_the_picture(
    api: httpx.Client, redis: Redis, stand_in: StandIn, is_cancelled: Callable[[str], bool]
) -> None:
    with waiting(api, PICTURE):
        job_id = awaited(redis, clients=1)
    until(lambda: is_cancelled(job_id))
    assert stand_in.work_while(Kind.GENERATE, lambda: api.post(PICTURE)).content == picture(5)


def test_the_worker_of_a_running_job_is_asked_to_end_it(api: httpx.Client, redis: Redis) -> None:
    with waiting(api, PICTURE):
        job_id = awaited(redis, clients=1)
        put(redis, job_id, JobStatus.STARTED)
    assert until(lambda: redis.hget(f"rq:job:{job_id}", CANCEL_FIELD)) == b"1"


def test_the_job_of_a_client_that_hung_up_has_no_result(
    api: httpx.Client, redis: Redis, is_cancelled: Callable[[str], bool]
) -> None:
    with waiting(api, PICTURE):
        job_id = awaited(redis, clients=1)
    until(lambda: is_cancelled(job_id))
    problem_of(api.get(f"/jobs/{job_id}/result"), 409)


def test_the_job_of_another_request_is_not_touched(
    api: httpx.Client, redis: Redis, is_cancelled: Callable[[str], bool]
) -> None:
    with waiting(api, PICTURE):
        job_id = awaited(redis, clients=1)
        other = api.post("/generate?seed=6", headers=AT_ONCE).headers["X-Job-Id"]
    until(lambda: is_cancelled(job_id))
    assert not is_cancelled(other)


def test_a_client_that_hung_up_is_counted_as_gone(api: httpx.Client, redis: Redis) -> None:
    def gone() -> float:
        sample = 'tarflow_http_requests_total{method="POST",route="/generate",status="499"} '
        lines = api.get("/metrics").text.splitlines()
        return sum(float(line.removeprefix(sample)) for line in lines if line.startswith(sample))

    before = gone()
    with waiting(api, PICTURE):
        awaited(redis, clients=1)
    assert until(lambda: gone() - before) == 1
