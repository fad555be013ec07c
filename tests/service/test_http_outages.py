"""Owns the laws of answering when something is missing: workers, Redis, or our own good sense."""

import asyncio
import json
import time

import httpx
import pytest
from redis import Redis
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from service.problems import FaultBarrier
from tests.service.image_files import encoded, plain
from tests.service.problem_answers import problem_of, retry_after_s
from tests.service.stand_in import FACTS, StandIn
from worker.contract import PRESENCE_TTL_S, Kind, facts_key, workers_key

IMAGE = encoded(plain("L", (28, 28), 7), "PNG")
NEEDS_REDIS = [
    ("POST", "/generate"),
    ("POST", "/score"),
    ("GET", "/jobs/" + "7" * 32),
    ("GET", "/jobs/" + "7" * 32 + "/result"),
    ("DELETE", "/jobs/" + "7" * 32),
    ("GET", "/models"),
    ("GET", "/models/digits"),
    ("GET", "/readyz"),
]
CORRUPT = '{"name": "a secret of ours"}'


def ask(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """A request that would be fine on a good day."""
    return client.request(method, path, content=IMAGE, headers={"Content-Type": "image/png"})


@pytest.fixture
def corrupt_api(api: httpx.Client, redis: Redis) -> httpx.Client:
    """A client of an app that finds facts in Redis which are none."""
    redis.set(facts_key(FACTS.name), CORRUPT)
    return api


@pytest.mark.parametrize("path", ["/generate", "/score"])
def test_without_a_worker_nothing_is_accepted(path: str, deserted_api: httpx.Client) -> None:
    answer = ask(deserted_api, "POST", path)
    assert problem_of(answer, 503)["type"] == "urn:tarflow:problem:no-worker"
    assert retry_after_s(answer)


@pytest.mark.parametrize("path", ["/generate", "/score"])
def test_without_a_worker_nothing_is_queued(path: str, deserted_api: httpx.Client, redis: Redis) -> None:
    ask(deserted_api, "POST", path)
    assert not redis.dbsize()


@pytest.mark.parametrize(("kind", "other"), [(Kind.GENERATE, Kind.SCORE), (Kind.SCORE, Kind.GENERATE)])
def test_a_worker_of_the_other_kind_is_no_help(
    kind: Kind, other: Kind, deserted_api: httpx.Client, redis: Redis
) -> None:
    StandIn(redis).announce(other)
    assert problem_of(ask(deserted_api, "POST", f"/{kind}"), 503)["detail"] == f"no live {kind} worker of digits"


def test_a_worker_of_another_model_is_no_help(api: httpx.Client) -> None:
    detail = problem_of(api.post("/generate?model=deserted"), 503)["detail"]
    assert detail == "no live generate worker of deserted"


def test_a_worker_that_has_long_been_silent_is_no_worker(api: httpx.Client, redis: Redis) -> None:
    redis.zadd(workers_key(Kind.GENERATE, "digits"), {"stand-in": time.time() - PRESENCE_TTL_S - 1})
    problem_of(api.post("/generate"), 503)


def test_without_a_worker_the_api_is_not_ready(deserted_api: httpx.Client) -> None:
    answer = deserted_api.get("/readyz")
    assert problem_of(answer, 503)["detail"] == "no live worker of digits"
    assert retry_after_s(answer)


def test_without_a_worker_the_process_lives(deserted_api: httpx.Client) -> None:
    assert deserted_api.get("/livez").status_code == 200


def test_without_a_worker_a_bad_query_is_still_refused_first(deserted_api: httpx.Client) -> None:
    problem_of(deserted_api.post("/generate?n=0"), 422)


def test_a_worker_that_is_back_is_seen_at_once(deserted_api: httpx.Client, redis: Redis) -> None:
    problem_of(deserted_api.get("/readyz"), 503)
    StandIn(redis).announce(Kind.GENERATE)
    assert deserted_api.get("/readyz").json()["workers"] == {"generate": 1, "score": 0}


@pytest.mark.parametrize(("method", "path"), NEEDS_REDIS)
def test_without_redis_the_queue_is_unavailable(method: str, path: str, orphan_api: httpx.Client) -> None:
    answer = ask(orphan_api, method, path)
    assert problem_of(answer, 503)["type"] == "urn:tarflow:problem:queue-unavailable"
    assert retry_after_s(answer)


@pytest.mark.parametrize("path", ["/livez", "/metrics", "/openapi.json", "/docs"])
def test_what_needs_no_redis_is_there_without_it(path: str, orphan_api: httpx.Client) -> None:
    assert orphan_api.get(path).status_code == 200


def test_without_redis_the_metrics_say_nothing_of_the_queues(orphan_api: httpx.Client) -> None:
    assert "tarflow_queue_depth{" not in orphan_api.get("/metrics").text


def test_work_turned_away_is_counted_by_its_reason(orphan_api: httpx.Client) -> None:
    orphan_api.post("/generate")
    assert 'tarflow_rejected_total{reason="RedisAway"}' in orphan_api.get("/metrics").text


@pytest.mark.parametrize("path", ["/readyz", "/status", "/models"])
def test_who_only_looks_is_no_work_that_is_turned_away(path: str, orphan_api: httpx.Client) -> None:
    def counted() -> list[str]:
        return [line for line in orphan_api.get("/metrics").text.splitlines() if "rejected_total{" in line]

    before = counted()
    assert (orphan_api.get(path).status_code, counted()) == (503, before)


def test_a_redis_that_refuses_is_a_queue_that_is_unavailable(api: httpx.Client, redis: Redis) -> None:
    redis.config_set("maxmemory", 1)  # full: every write is refused
    try:
        answer = api.post("/generate")
    finally:
        redis.config_set("maxmemory", 0)
    assert problem_of(answer, 503)["type"] == "urn:tarflow:problem:queue-unavailable"


@pytest.mark.parametrize(("method", "path"), [("POST", "/generate"), ("POST", "/score"), ("GET", "/models/digits")])
def test_a_fault_of_ours_is_an_internal_error_without_its_words(
    method: str, path: str, corrupt_api: httpx.Client
) -> None:
    answer = ask(corrupt_api, method, path)
    assert problem_of(answer, 500) == {
        "type": "urn:tarflow:problem:internal-error",
        "title": "Internal error",
        "status": 500,
        "detail": "an internal error, which our log holds",
    }


def test_a_fault_of_ours_is_in_our_log(corrupt_api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    corrupt_api.post("/generate")
    faults = [record for record in caplog.records if record.name == "service.problems"]
    assert [record.getMessage() for record in faults] == ["POST /generate failed"]
    assert faults[0].exc_info


def test_the_api_serves_on_after_a_fault(corrupt_api: httpx.Client, stand_in: StandIn) -> None:
    corrupt_api.post("/generate")
    stand_in.announce(*Kind)
    answer = stand_in.work_while(Kind.GENERATE, lambda: corrupt_api.post("/generate"))
    assert answer.status_code == 200


def test_a_job_that_holds_no_request_is_a_fault_of_ours(api: httpx.Client, redis: Redis) -> None:
    job = api.post("/generate", headers={"Prefer": "respond-async"}).headers["X-Job-Id"]
    redis.hset(f"rq:job:{job}", "data", json.dumps(["generate", None, ["a secret of ours"], {}]))
    assert "secret" not in problem_of(api.get(f"/jobs/{job}"), 500)["detail"]


def test_a_client_that_hangs_up_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def reads_on(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ClientDisconnect

    async def receive() -> Message:
        raise AssertionError("nothing is read from a client that is gone")

    async def send(_message: Message) -> None:
        raise AssertionError("nothing is sent to a client that is gone")

    asyncio.run(FaultBarrier(reads_on)({"type": "http", "method": "POST", "path": "/score"}, receive, send))
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
