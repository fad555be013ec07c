"""Owns the laws of `DELETE /jobs/{id}`: what it answers, and what others are answered who wait."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from redis import Redis
from rq.job import JobStatus

from tests.service.callers import awaited, until, waiting
from tests.service.image_files import encoded, plain
from tests.service.problem_answers import problem_of
from tests.service.stand_in import StandIn, picture
from tests.service.submissions import QUEUE, lasting, put, where
from worker.contract import CANCEL_FIELD, Kind, facts_key, workers_key
from worker.errors import NonFiniteSample
from worker.made import Outcome
from worker.served_job import ServedJob

AT_ONCE = {"Prefer": "respond-async"}
IMAGE = encoded(plain("L", (28, 28), 7), "PNG")
ANNOUNCED = {facts_key("digits"), *(workers_key(kind, "digits") for kind in Kind)}


@pytest.fixture
def queued(api: httpx.Client) -> str:
    """The path of a job that nobody has begun."""
    return api.post("/generate?seed=5", headers=AT_ONCE).headers["Location"]


@pytest.fixture
def running(queued: str, redis: Redis) -> str:
    """The path of a job that a worker works on."""
    redis.delete(QUEUE)
    put(redis, queued, JobStatus.STARTED)
    return queued


@pytest.fixture
def done(queued: str, stand_in: StandIn) -> str:
    """The path of a job that has succeeded."""
    stand_in.work(Kind.GENERATE)
    return queued


def job_id(path: str) -> str:
    """The id in a path."""
    return path.removeprefix("/jobs/")


def test_a_queued_job_is_answered_as_cancelled(queued: str, api: httpx.Client) -> None:
    answer = api.delete(queued)
    body = answer.json()
    assert (answer.status_code, body["job_id"], body["state"]) == (200, job_id(queued), "cancelled")
    assert (body["position"], body["eta_s"], body["ended_at"] is None) == (None, None, False)


def test_what_is_answered_is_what_is_so(queued: str, api: httpx.Client) -> None:
    assert api.delete(queued).json() == api.get(queued).json()


def test_a_cancelled_job_is_out_of_the_queue(queued: str, api: httpx.Client, redis: Redis) -> None:
    api.delete(queued)
    assert where(redis, job_id(queued)) == set()


def test_a_cancelled_job_leaves_nothing_for_ever(queued: str, api: httpx.Client, redis: Redis) -> None:
    api.delete(queued)
    assert lasting(redis) == {"rq:queues", *ANNOUNCED}


def test_a_cancelled_job_has_no_result(queued: str, api: httpx.Client) -> None:
    api.delete(queued)
    assert problem_of(api.get(f"{queued}/result"), 409)["type"] == "urn:tarflow:problem:job-cancelled"


def test_a_score_can_be_cancelled(api: httpx.Client) -> None:
    path = api.post("/score", content=IMAGE, headers={"Content-Type": "image/png", **AT_ONCE}).headers["Location"]
    assert api.delete(path).json()["state"] == "cancelled"


def test_those_behind_move_up(queued: str, api: httpx.Client) -> None:
    behind = api.post("/generate", headers=AT_ONCE).headers["Location"]
    before = api.get(behind).json()["position"]
    api.delete(queued)
    assert (before, api.get(behind).json()["position"]) == (1, 0)


def test_who_waits_is_told_at_once_that_another_cancelled(api: httpx.Client, redis: Redis) -> None:
    with ThreadPoolExecutor(1) as pool:
        # The client gives up before its wait would end.
        answer = pool.submit(api.post, "/generate", headers={"Prefer": "wait=60"})
        path = f"/jobs/{awaited(redis, clients=1)}"
        assert api.delete(path).status_code == 200
        assert problem_of(answer.result(), 409)["type"] == "urn:tarflow:problem:job-cancelled"


def test_the_wish_of_one_ends_nothing_for_others_who_wait(api: httpx.Client, redis: Redis) -> None:
    with ExitStack() as stack:
        for key in "abc":
            stack.enter_context(waiting(api, "/generate?seed=5", key=key))
        job = f"/jobs/{awaited(redis, clients=3)}"
        answers = [api.delete(job, headers={"Idempotency-Key": key}) for key in "ab"]
        assert [(each.status_code, each.json()["state"]) for each in answers] == [(202, "queued")] * 2


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "seven"}], ids=["no key", "one key"])
def test_the_wish_of_one_who_repeats_it_ends_nothing_for_another(
    headers: dict[str, str], api: httpx.Client, redis: Redis
) -> None:
    with waiting(api, "/generate?seed=5"), waiting(api, "/generate?seed=5"):
        job = f"/jobs/{awaited(redis, clients=2)}"
        answers = [api.delete(job, headers=headers) for _ in range(3)]
        assert [(each.status_code, each.json()["state"]) for each in answers] == [(202, "queued")] * 3


def test_when_all_have_wished_it_all_who_wait_are_told(api: httpx.Client, redis: Redis) -> None:
    with ExitStack() as stack:
        callers = [stack.enter_context(waiting(api, "/generate?seed=5", key=key)) for key in "abc"]
        job = f"/jobs/{awaited(redis, clients=3)}"
        answers = [api.delete(job, headers={"Idempotency-Key": key}) for key in "abc"]
        assert [each.status_code for each in answers] == [202, 202, 200]
        assert [caller.getresponse().status for caller in callers] == [409] * 3


def test_one_who_asks_again_by_a_key_is_still_one(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": "seven", "Prefer": "respond-async"}
    jobs = {api.post("/generate?seed=5", headers=headers).headers["X-Job-Id"] for _ in range(3)}
    assert [api.delete(f"/jobs/{each}").json()["state"] for each in jobs] == ["cancelled"]


def test_a_running_job_is_answered_as_still_running(running: str, api: httpx.Client) -> None:
    answer = api.delete(running)
    assert (answer.status_code, answer.json()["state"]) == (202, "running")


def test_the_worker_of_a_running_job_finds_the_wish(running: str, api: httpx.Client, redis: Redis) -> None:
    api.delete(running)
    assert redis.hget(f"rq:job:{job_id(running)}", CANCEL_FIELD) == b"1"


def test_the_wish_may_be_said_again(running: str, api: httpx.Client) -> None:
    assert [api.delete(running).status_code for _ in range(2)] == [202, 202]


def test_a_running_job_that_is_cancelled_ends_so(api: httpx.Client, stand_in: StandIn, redis: Redis) -> None:
    class Cancelling(StandIn):
        def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
            assert api.delete(f"/jobs/{jobs[0].id}").status_code == 202
            return super().__call__(jobs, meanwhile)

    answer = Cancelling(stand_in.connection).work_while(Kind.GENERATE, lambda: api.post("/generate"))
    assert problem_of(answer, 409)["type"] == "urn:tarflow:problem:job-cancelled"
    assert not {name for name in lasting(redis) if name.startswith("rq:job:")}


def test_a_job_that_has_succeeded_has_ended(done: str, api: httpx.Client) -> None:
    body = problem_of(api.delete(done), 409)
    assert body["type"] == "urn:tarflow:problem:job-ended"
    assert body["detail"] == f"job {job_id(done)} has succeeded already"


def test_a_job_that_has_succeeded_keeps_its_result(done: str, api: httpx.Client) -> None:
    api.delete(done)
    assert api.get(f"{done}/result").content == picture(5)


def test_a_job_that_has_failed_has_ended(queued: str, api: httpx.Client, stand_in: StandIn) -> None:
    StandIn(stand_in.connection, failure=NonFiniteSample("seven")).work(Kind.GENERATE)
    assert problem_of(api.delete(queued), 409)["detail"] == f"job {job_id(queued)} has failed already"


def test_to_cancel_again_is_as_to_cancel(queued: str, api: httpx.Client) -> None:
    once, twice = api.delete(queued), api.delete(queued)
    assert (twice.status_code, twice.json()) == (200, once.json())


@pytest.mark.parametrize("path", ["/jobs/seven", "/jobs/" + "7" * 32, "/jobs/%FF%00"])
def test_an_unknown_job_is_not_found(path: str, api: httpx.Client) -> None:
    assert problem_of(api.delete(path), 404)["type"] == "urn:tarflow:problem:unknown-job"


def test_to_cancel_what_is_unknown_leaves_nothing_in_redis(api: httpx.Client, redis: Redis) -> None:
    before = redis.dbsize()
    api.delete("/jobs/" + "7" * 32)
    assert redis.dbsize() == before


def test_a_cancelled_job_is_queued_anew_for_who_asks_again(queued: str, api: httpx.Client) -> None:
    api.delete(queued)
    again = api.post("/generate?seed=5", headers=AT_ONCE)
    assert (again.json()["state"], again.headers["Location"] != queued) == ("queued", True)


def test_who_asks_again_after_a_cancellation_gets_the_picture(
    queued: str, api: httpx.Client, stand_in: StandIn
) -> None:
    api.delete(queued)
    assert stand_in.work_while(Kind.GENERATE, lambda: api.post("/generate?seed=5")).content == picture(5)


def cancellations(api: httpx.Client) -> float:
    """How many jobs are counted as cancelled here."""
    sample = 'tarflow_jobs_total{kind="generate",model="digits",outcome="cancelled"} '
    (value,) = [line.removeprefix(sample) for line in api.get("/metrics").text.splitlines() if line.startswith(sample)]
    return float(value)


def test_a_queued_job_that_is_cancelled_is_counted_once(queued: str, api: httpx.Client) -> None:
    before = cancellations(api)
    assert [api.delete(queued).status_code for _ in range(2)] == [200, 200]
    assert cancellations(api) == before + 1


def test_a_running_job_that_is_cancelled_is_left_to_its_worker_to_count(running: str, api: httpx.Client) -> None:
    before = cancellations(api)
    api.delete(running)
    assert cancellations(api) == before


def test_a_queued_job_whose_client_hangs_up_is_counted(api: httpx.Client, redis: Redis) -> None:
    before = cancellations(api)
    with waiting(api, "/generate?seed=5"):
        awaited(redis, clients=1)
    assert until(lambda: cancellations(api) - before) == 1


def test_a_key_that_cannot_be_one_is_refused(queued: str, api: httpx.Client) -> None:
    assert problem_of(api.delete(queued, headers={"Idempotency-Key": "a b"}), 400)["title"] == "Bad header"


def test_every_status_of_a_cancellation_is_documented(api: httpx.Client) -> None:
    documented = api.get("/openapi.json").json()["paths"]["/jobs/{job_id}"]["delete"]["responses"]
    assert {"200", "202", "400", "404", "409", "503"} <= set(documented)
