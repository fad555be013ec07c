"""Owns the laws of the line about a request: one for each, with all that is told of it and nothing else."""

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis import Redis

from service.app import create_app
from service.settings import ServiceSettings
from telemetry.spans import Attributes
from telemetry.traces import Trace
from tests.service.callers import until
from tests.service.conftest import client_of
from tests.service.image_files import encoded, plain
from tests.service.stand_in import FACTS, StandIn
from worker.contract import TRACE_FIELD, Kind, job_key

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
AT_ONCE = {"Prefer": "respond-async"}
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """What has been told of requests, once something has: a line is written when its answer has left."""
    caplog.set_level(logging.INFO, "service.access_log")
    return lambda: until(lambda: [vars(each)["fields"] for each in caplog.records if each.name == "service.access_log"])


def test_a_request_for_work_is_told_with_its_job_and_model(
    generate: Callable[..., httpx.Response], lines: Lines
) -> None:
    answer = generate("?class=7", headers=TRACED)
    (line,) = lines()
    assert line.pop("duration_ms") > 0
    assert line == {
        "method": "POST",
        "route": "/generate",
        "status": 200,
        "request_id": answer.headers["X-Request-Id"],
        "trace_id": TRACE_ID,
        "job_id": answer.headers["X-Job-Id"],
        "model": "digits",
    }


def test_a_job_that_is_not_waited_for_has_its_model_too(api: httpx.Client, lines: Lines) -> None:
    answer = api.post("/generate", headers=AT_ONCE)
    assert [(line["status"], line["model"], line["job_id"]) for line in lines()] == [
        (202, "digits", answer.headers["X-Job-Id"])
    ]


def test_a_look_at_a_job_names_it_and_not_its_path(api: httpx.Client, lines: Lines) -> None:
    job_id = "0" * 32
    api.get(f"/jobs/{job_id}")
    assert [(line["route"], line["status"], line["job_id"]) for line in lines()] == [("/jobs/{job_id}", 404, job_id)]


@pytest.mark.parametrize("path", ["/generate?class=secret", "/nowhere/secret", "/models/secret", "/jobs/secret?x=1"])
def test_what_a_stranger_puts_into_an_address_is_not_told(
    path: str, api: httpx.Client, caplog: pytest.LogCaptureFixture, lines: Lines
) -> None:
    api.post(path, headers={"User-Agent": "secret", "X-Request-Id": "secret", "traceparent": "secret"})
    told = [str({name: value for name, value in line.items() if name != "job_id"}) for line in lines()]
    assert told
    assert "secret" not in caplog.text + "".join(told)


def test_what_claims_to_be_a_job_is_told_no_longer_than_one(api: httpx.Client, lines: Lines) -> None:
    api.get(f"/jobs/{'x' * 500}")
    assert lines()[0]["job_id"] == "x" * 32


def test_a_method_that_is_none_of_ours_is_not_told(api: httpx.Client, lines: Lines) -> None:
    api.request("PROPFIND", "/models")
    assert [line["method"] for line in lines()] == ["other"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_a_probe_that_is_content_is_not_told(path: str, api: httpx.Client, lines: Lines) -> None:
    assert api.get(path).status_code == 200
    api.get("/nowhere")
    assert [line["route"] for line in lines()] == ["unmatched"]


def test_a_probe_that_is_not_content_is_told(deserted_api: httpx.Client, lines: Lines) -> None:
    deserted_api.get("/readyz")
    assert [(line["route"], line["status"]) for line in lines()] == [("/readyz", 503)]


def test_an_answer_says_where_it_stands_in_the_clients_trace(api: httpx.Client) -> None:
    headers = api.get("/models", headers=TRACED).headers
    assert headers["traceparent"] == f"00-{TRACE_ID}-{headers['X-Request-Id']}-01"
    assert headers["X-Request-Id"] != SPAN_ID


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/generate?n=0"])
def test_every_answer_has_a_trace(path: str, api: httpx.Client) -> None:
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", api.get(path).headers["traceparent"])


def test_no_two_requests_share_an_id(api: httpx.Client) -> None:
    assert len({api.get("/livez", headers=TRACED).headers["X-Request-Id"] for _ in range(5)}) == 5


def test_a_job_carries_the_trace_of_the_request_that_queued_it(api: httpx.Client, redis: Redis) -> None:
    answer = api.post("/generate", headers=AT_ONCE | TRACED)
    assert redis.hget(job_key(answer.headers["X-Job-Id"]), TRACE_FIELD) == answer.headers["traceparent"].encode()


def test_the_worker_tells_of_the_job_in_the_same_trace(
    api: httpx.Client, stand_in: StandIn, caplog: pytest.LogCaptureFixture, lines: Lines
) -> None:
    caplog.set_level(logging.INFO)
    png = encoded(plain("L", (28, 28), 7), "PNG")
    headers = TRACED | {"Content-Type": "image/png"}
    stand_in.work_while(Kind.SCORE, lambda: api.post("/score", content=png, headers=headers))
    lines()
    told = {each.name: vars(each)["fields"] for each in caplog.records if hasattr(each, "fields")}
    assert told["worker.job_log"]["trace_id"] == told["service.access_log"]["trace_id"] == TRACE_ID
    assert told["worker.job_log"]["job_id"] == told["service.access_log"]["job_id"]


class Kept:
    """Spans that stay here."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Trace, dict[str, Any]]] = []

    def record(self, name: str, trace: Trace, _begun_s: float, _ended_s: float, attributes: Attributes) -> None:
        """Keep it."""
        self.told.append((name, trace, dict(attributes)))


@pytest.fixture
def kept() -> Kept:
    """Where the spans of a test end."""
    return Kept()


@pytest.fixture
def watched_api(kept: Kept, redis_url: str) -> Iterator[httpx.Client]:
    """A client of an app whose spans are kept."""
    app: FastAPI = create_app(ServiceSettings(redis_url=redis_url, models=FACTS.name))
    (layer,) = [each for each in app.user_middleware if "spans" in each.kwargs]
    layer.kwargs["spans"] = kept
    with client_of(app) as client:
        yield client


def test_a_request_is_a_span_under_the_clients(watched_api: httpx.Client, kept: Kept) -> None:
    answer = watched_api.get("/livez", headers=TRACED)
    ((name, trace, attributes),) = until(lambda: kept.told)
    assert (name, trace.trace_id, trace.parent_id) == ("GET /livez", TRACE_ID, SPAN_ID)
    assert trace.span_id == answer.headers["X-Request-Id"]
    assert attributes == {
        "http.request.method": "GET",
        "http.route": "/livez",
        "http.response.status_code": 200,
    }
