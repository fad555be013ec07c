"""Owns the laws of HEAD: wherever there is GET, with its status and headers and without its body."""

from collections.abc import Callable

import httpx
import pytest

from tests.service.problem_answers import problem_of

# Of each answer its own.
OWN = {"date", "traceparent", "x-request-id"}
READABLE = [
    "/", "/static/page.js", "/docs", "/docs/swagger-ui-bundle.js", "/openapi.json", "/livez", "/readyz", "/models",
    "/models/digits", "/status", "/models/afhq", "/jobs/" + "7" * 32, "/status?x=1", "/seven",
]  # fmt: skip


def told(answer: httpx.Response) -> tuple[int, dict[str, str]]:
    """The status and the headers that any answer to the same has."""
    return answer.status_code, {name: value for name, value in answer.headers.items() if name not in OWN}


@pytest.mark.parametrize("path", READABLE)
def test_head_is_get_without_the_body(path: str, api: httpx.Client) -> None:
    head, get = api.head(path), api.get(path)
    assert told(head) == told(get)
    assert (head.content, get.content == b"") == (b"", False)


@pytest.mark.parametrize("path", ["", "/result"])
def test_a_job_and_its_result_have_a_head(
    path: str, generate: Callable[..., httpx.Response], api: httpx.Client
) -> None:
    job = f"/jobs/{generate('?seed=5').headers['X-Job-Id']}{path}"
    head = api.head(job)
    assert (told(head), head.content) == (told(api.get(job)), b"")


def test_the_metrics_have_a_head(api: httpx.Client) -> None:
    head = api.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == api.get("/metrics").headers["Content-Type"]


def test_a_connection_goes_on_after_a_head(api: httpx.Client) -> None:
    assert [api.request(method, "/livez").status_code for method in ("HEAD", "GET", "HEAD", "GET")] == [200] * 4


def test_every_route_that_can_be_read_has_a_head_but_the_stream(api: httpx.Client) -> None:
    job = api.post("/generate", headers={"Prefer": "respond-async"}).headers["X-Job-Id"]
    paths = api.get("/openapi.json").json()["paths"]
    readable = {path: path.format(job_id=job, name="digits") for path, methods in paths.items() if "get" in methods}
    without = {path for path, url in readable.items() if api.head(url).status_code == 405}
    assert without == {"/jobs/{job_id}/events"}


@pytest.mark.parametrize(("path", "allowed"), [("/generate", "POST"), ("/jobs/7/events", "GET")])
def test_what_has_none_says_what_there_is(path: str, allowed: str, api: httpx.Client) -> None:
    head = api.head(path)
    assert (head.status_code, head.headers["Allow"], head.content) == (405, allowed, b"")


@pytest.mark.parametrize("path", ["/", "/models", "/jobs/7"])
def test_who_may_read_is_told_of_head_too(path: str, api: httpx.Client) -> None:
    answer = api.put(path)
    problem_of(answer, 405)
    assert {"GET", "HEAD"} <= set(answer.headers["Allow"].split(", "))
