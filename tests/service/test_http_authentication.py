"""Owns the laws of asking with a key: who is let in, who is not, and what is told of them."""

import logging
from collections.abc import Iterator

import httpx
import pytest

from service.api_keys import new_key
from service.app import create_app
from service.authentication import OPEN_PATHS
from service.client import Client, TarFlowError
from service.operations import open_router
from service.settings import ServiceSettings
from tests.service.callers import until
from tests.service.conftest import client_of
from tests.service.problem_answers import problem_of
from tests.service.stand_in import FACTS, StandIn
from worker.contract import Kind

SECRET, KEY = new_key("ada")
OTHER_SECRET, OTHER_KEY = new_key("bob")
BEARER = {"Authorization": f"Bearer {SECRET}"}
GUARDED = [
    ("POST", "/generate"),
    ("POST", "/score"),
    ("POST", "/encode"),
    ("POST", "/decode"),
    ("POST", "/interpolate"),
    ("POST", "/verify"),
    ("GET", "/status"),
    ("GET", "/models"),
    ("GET", "/models/digits"),
    ("GET", f"/jobs/{'0' * 32}"),
    ("GET", f"/jobs/{'0' * 32}/result"),
    ("GET", f"/jobs/{'0' * 32}/events"),
    ("DELETE", f"/jobs/{'0' * 32}"),
    ("GET", "/nowhere"),
]


@pytest.fixture(scope="module")
def keyed_api(redis_url: str) -> Iterator[httpx.Client]:
    """A client, without a key, of an app that asks for one."""
    entries = f"{KEY.entry},{OTHER_KEY.entry}"
    with client_of(create_app(ServiceSettings(redis_url=redis_url, models=FACTS.name, api_keys=entries))) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_key_nothing_is_done(method: str, path: str, keyed_api: httpx.Client) -> None:
    answer = keyed_api.request(method, path)
    assert problem_of(answer, 401)["type"] == "urn:tarflow:problem:unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", f"Basic {SECRET}", SECRET, f"Bearer {SECRET}x", f"Bearer {KEY.digest}"],
    ids=["empty", "no key", "another scheme", "no scheme", "too long", "the digest"],
)
def test_what_is_no_key_of_ours_is_refused(authorization: str, keyed_api: httpx.Client) -> None:
    problem_of(keyed_api.get("/models", headers={"Authorization": authorization}), 401)


def test_a_key_in_the_query_is_no_key(keyed_api: httpx.Client) -> None:
    problem_of(keyed_api.get("/models", params={"key": SECRET, "access_token": SECRET}), 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_opens_the_door(scheme: str, keyed_api: httpx.Client, stand_in: StandIn) -> None:
    stand_in.announce(*Kind)
    assert keyed_api.get("/models", headers={"Authorization": f"{scheme} {SECRET}"}).status_code == 200


def test_a_picture_is_made_for_who_has_a_key(keyed_api: httpx.Client, stand_in: StandIn) -> None:
    answer = stand_in.work_while(Kind.GENERATE, lambda: keyed_api.post("/generate", headers=BEARER))
    assert answer.status_code == 200


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
def test_what_is_open_needs_no_key(path: str, keyed_api: httpx.Client, stand_in: StandIn) -> None:
    stand_in.announce(*Kind)
    assert keyed_api.get(path).status_code in (200, 307)


def test_every_open_route_is_let_pass() -> None:
    assert {route.path for route in open_router.routes if hasattr(route, "path")} <= OPEN_PATHS


def test_the_python_client_sends_its_key(keyed_api: httpx.Client, stand_in: StandIn) -> None:
    stand_in.announce(*Kind)
    with Client(str(keyed_api.base_url), api_key=SECRET) as tarflow:
        assert len(tarflow.submit("seven")) == 32
    with Client(str(keyed_api.base_url)) as tarflow, pytest.raises(TarFlowError) as caught:
        tarflow.submit("seven")
    assert caught.value.status == 401


def test_the_name_of_a_key_is_in_the_log_and_the_key_is_not(
    keyed_api: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        keyed_api.get("/models", headers=BEARER)
        lines = until(lambda: [vars(each)["fields"] for each in caplog.records if each.name == "service.access_log"])
    assert [line["client"] for line in lines] == ["ada"]
    assert SECRET not in caplog.text + str(lines)


def test_a_strangers_key_is_not_in_the_log(keyed_api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        keyed_api.get("/models", headers={"Authorization": "Bearer not-one-of-ours"})
    assert "not-one-of-ours" not in caplog.text + str([vars(record) for record in caplog.records])


def test_the_schema_says_that_a_key_is_asked(keyed_api: httpx.Client) -> None:
    schema = keyed_api.get("/openapi.json").json()
    assert schema["components"]["securitySchemes"]["HTTPBearer"] == {"type": "http", "scheme": "bearer"}
    assert "401" in schema["paths"]["/generate"]["post"]["responses"]
    assert "security" not in schema["paths"]["/livez"]["get"]


def test_without_keys_the_schema_asks_for_none(live_api: httpx.Client) -> None:
    assert "securitySchemes" not in live_api.get("/openapi.json").json().get("components", {})


def test_who_is_refused_is_counted_under_the_route(keyed_api: httpx.Client) -> None:
    keyed_api.get("/jobs/seven")
    assert (
        'tarflow_http_requests_total{method="GET",route="/jobs/{job_id}",status="401"}'
        in keyed_api.get("/metrics").text
    )


@pytest.mark.usefixtures("stand_in")
def test_an_idempotency_key_is_of_the_client_that_sent_it(keyed_api: httpx.Client) -> None:
    def ask(secret: str, index: int) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "order-1", "Prefer": "respond-async"}
        return keyed_api.post(f"/generate?class={index}", headers=headers)

    ours, ours_again, theirs = ask(SECRET, 1), ask(SECRET, 1), ask(OTHER_SECRET, 1)
    assert [answer.status_code for answer in (ours, ours_again, theirs)] == [202] * 3
    jobs = [answer.headers["X-Job-Id"] for answer in (ours, ours_again, theirs)]
    assert (jobs[0] == jobs[1], jobs[0] == jobs[2]) == (True, False)
    assert problem_of(ask(SECRET, 2), 422)["type"] == "urn:tarflow:problem:idempotency-key-reused"
    assert ask(OTHER_SECRET, 1).headers["X-Job-Id"] == jobs[2]


@pytest.mark.usefixtures("stand_in")
def test_each_owner_of_a_key_counts_as_one_who_cancels(keyed_api: httpx.Client) -> None:
    ours, theirs = ({"Authorization": f"Bearer {secret}"} for secret in (SECRET, OTHER_SECRET))
    for who in (ours, theirs):
        path = keyed_api.post("/generate?seed=5", headers={**who, "Prefer": "respond-async"}).headers["Location"]
    assert [keyed_api.delete(path, headers=who).status_code for who in (ours, ours, theirs)] == [202, 202, 200]
