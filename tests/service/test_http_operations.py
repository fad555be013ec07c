"""Owns the laws of the routes of operation: models, health, metrics, documentation, and what is no route."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest
from redis import Redis

from service.documentation import PROBLEM_SCHEMA
from tests.service.problem_answers import problem_of
from tests.service.stand_in import FACTS, StandIn
from worker.contract import Kind
from worker.made import Outcome
from worker.served_job import ServedJob

Ask = Callable[..., httpx.Response]
QUEUE = '{kind="generate",model="digits"}'
AT_ONCE = {"Prefer": "respond-async"}


def samples(api: httpx.Client) -> dict[str, float]:
    """The value of every sample, by its name and labels."""
    lines = [line.rpartition(" ") for line in api.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def metric(api: httpx.Client, name: str) -> float:
    """The value of a sample, which is there."""
    return samples(api)[name]


def count(api: httpx.Client, name: str) -> float:
    """The value of a counter, 0 before it first counts."""
    return samples(api).get(name, 0.0)


def requests(method: str, route: str, status: int) -> str:
    """The name of the sample that counts these."""
    return f'tarflow_http_requests_total{{method="{method}",route="{route}",status="{status}"}}'


@pytest.mark.parametrize("path", ["/seven", "/jobs", "/jobs/", "/jobs/7/pixels", "/../etc/passwd"])
def test_an_unknown_route_is_not_found(path: str, api: httpx.Client) -> None:
    assert problem_of(api.get(path, follow_redirects=True), 404)["type"] == "urn:tarflow:problem:unknown-route"


@pytest.mark.parametrize("path", ["/models/", "/generate/", "/livez/", "/openapi.json/", "/docs/"])
def test_a_slash_too_many_is_no_way_to_another_place(path: str, api: httpx.Client) -> None:
    assert problem_of(api.get(path), 404)["type"] == "urn:tarflow:problem:unknown-route"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/generate", "POST"),
        ("PUT", "/generate", "POST"),
        ("GET", "/score", "POST"),
        ("POST", "/jobs/7", "DELETE, GET, HEAD"),
        ("POST", "/models", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(method: str, path: str, allowed: str, api: httpx.Client) -> None:
    answer = api.request(method, path)
    problem_of(answer, 405)
    assert answer.headers["Allow"] == allowed


def test_the_schema_has_every_route(api: httpx.Client) -> None:
    routes = {
        "/generate", "/score", "/encode", "/decode", "/interpolate", "/verify",
        "/jobs/{job_id}", "/jobs/{job_id}/result", "/jobs/{job_id}/events", "/status",
        "/models", "/models/{name}", "/livez", "/readyz", "/metrics",
    }  # fmt: skip
    assert set(api.get("/openapi.json").json()["paths"]) == routes


def test_the_schema_has_the_bounds_of_every_parameter(api: httpx.Client) -> None:
    parameters = api.get("/openapi.json").json()["paths"]["/generate"]["post"]["parameters"]
    found: dict[str, Any] = {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}
    assert set(found) == {"class", "guidance", "n", "seed", "denoise", "attention_temperature", "model"}
    assert (found["n"]["minimum"], found["n"]["maximum"], found["n"]["default"]) == (1, 16, 1)
    assert found["seed"]["anyOf"][0]["maximum"] == 2**53 - 1


def test_a_problem_is_as_the_schema_says(api: httpx.Client) -> None:
    body = problem_of(api.post("/generate?n=0"), 422)
    assert set(body) <= set(PROBLEM_SCHEMA["properties"])
    assert set(body["errors"][0]) == set(PROBLEM_SCHEMA["properties"]["errors"]["items"]["properties"])


def test_the_process_lives(api: httpx.Client) -> None:
    assert api.get("/livez").json() == {"status": "alive"}


def test_with_redis_and_a_worker_it_is_ready(api: httpx.Client) -> None:
    assert api.get("/readyz").json() == {"status": "ready", "model": "digits", "workers": {"generate": 1, "score": 1}}


def test_a_model_is_told_with_its_facts_and_workers(api: httpx.Client) -> None:
    workers = {"live_workers": {"generate": 1, "score": 1}}
    assert api.get("/models/digits").json() == FACTS.model_dump(mode="json") | workers


def test_a_model_that_nobody_ever_served_is_told_by_its_name(api: httpx.Client) -> None:
    workers = {"live_workers": {"generate": 0, "score": 0}}
    assert api.get("/models/deserted").json() == {"name": "deserted"} | workers


def test_the_schema_has_every_fact_of_a_model(api: httpx.Client) -> None:
    answers = api.get("/openapi.json").json()["paths"]["/models/{name}"]["get"]["responses"]
    properties = answers["200"]["content"]["application/json"]["schema"]["properties"]
    assert set(properties) == set(api.get("/models/digits").json())


def test_every_model_is_told_the_default_first(api: httpx.Client) -> None:
    body = api.get("/models").json()
    assert (body["default"], [model["name"] for model in body["models"]]) == ("digits", ["digits", "deserted"])


def test_an_unknown_model_is_not_found(api: httpx.Client) -> None:
    assert problem_of(api.get("/models/afhq"), 404)["type"] == "urn:tarflow:problem:unknown-model"


def test_an_answer_is_counted_by_method_route_and_status(generate: Ask, api: httpx.Client) -> None:
    before = count(api, requests("POST", "/generate", 200))
    generate()
    assert metric(api, requests("POST", "/generate", 200)) == before + 1


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/jobs/" + "7" * 32, "/jobs/{job_id}", 404),
        ("GET", "/jobs/" + "7" * 32 + "/result", "/jobs/{job_id}/result", 404),
        ("GET", "/models/afhq", "/models/{name}", 404),
        ("GET", "/generate", "/generate", 405),
        ("POST", "/generate?n=0", "/generate", 422),
        ("POST", "/score", "/score", 415),
        ("GET", "/seven", "unmatched", 404),
    ],
)
def test_an_error_is_counted_by_the_template_of_its_route(
    method: str, path: str, route: str, status: int, api: httpx.Client
) -> None:
    before = count(api, requests(method, route, status))
    api.request(method, path)
    assert metric(api, requests(method, route, status)) == before + 1


def test_the_schema_is_counted_by_its_path(api: httpx.Client) -> None:
    before = count(api, requests("GET", "/openapi.json", 200))
    api.get("/openapi.json")
    assert metric(api, requests("GET", "/openapi.json", 200)) == before + 1


def test_a_fault_of_ours_is_counted_as_one(api: httpx.Client, redis: Redis) -> None:
    before = count(api, requests("POST", "/generate", 500))
    redis.set("tarflow:facts:digits", "{}")
    api.post("/generate")
    assert metric(api, requests("POST", "/generate", 500)) == before + 1


def test_no_job_becomes_a_label(api: httpx.Client, stand_in: StandIn) -> None:
    job = api.post("/generate", headers=AT_ONCE).headers["X-Job-Id"]
    stand_in.work(Kind.GENERATE)
    api.get(f"/jobs/{job}")
    api.get(f"/jobs/{job}/result")
    assert job not in api.get("/metrics").text


def test_a_method_that_a_client_made_up_becomes_no_label(api: httpx.Client) -> None:
    api.request("SEVEN", "/generate")
    assert "SEVEN" not in api.get("/metrics").text


def test_the_depth_of_a_queue_is_what_waits_in_it(api: httpx.Client) -> None:
    depths = []
    for _ in range(3):
        depths.append(metric(api, f"tarflow_queue_depth{QUEUE}"))
        api.post("/generate", headers=AT_ONCE)
    assert depths == [0, 1, 2]


def test_the_age_of_a_queue_is_that_of_its_oldest_job(api: httpx.Client, redis: Redis) -> None:
    jobs = [api.post("/generate", headers=AT_ONCE).headers["X-Job-Id"] for _ in range(2)]
    for job, hour in zip(jobs, ("01", "02"), strict=True):
        redis.hset(f"rq:job:{job}", "enqueued_at", f"2026-01-01T{hour}:00:00.000000Z")
    ages = [metric(api, f"tarflow_queue_oldest_age_seconds{QUEUE}")]
    redis.lpop("rq:queue:tarflow:generate:digits")
    ages.append(metric(api, f"tarflow_queue_oldest_age_seconds{QUEUE}"))
    assert ages[0] - ages[1] == pytest.approx(3600, abs=60)


def test_an_empty_queue_has_no_age(api: httpx.Client) -> None:
    assert metric(api, f"tarflow_queue_oldest_age_seconds{QUEUE}") == 0


def test_live_workers_are_counted(api: httpx.Client) -> None:
    assert metric(api, f"tarflow_workers{QUEUE}") == 1


def test_a_job_that_is_worked_on_is_counted(api: httpx.Client, stand_in: StandIn) -> None:
    seen = []

    class Watched(StandIn):
        def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
            seen.append(metric(api, f"tarflow_jobs_running{QUEUE}"))
            return super().__call__(jobs, meanwhile)

    watched = Watched(stand_in.connection)
    watched.work_while(Kind.GENERATE, lambda: api.post("/generate"))
    assert (seen, metric(api, f"tarflow_jobs_running{QUEUE}")) == ([1], 0)
