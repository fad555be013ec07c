"""Owns the laws of what every answer tells browsers and caches."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import client_of
from tests.service.problem_answers import problem_of
from tests.service.stand_in import FACTS

EVERYWHERE = ["/", "/livez", "/readyz", "/metrics", "/models", "/nowhere", "/docs", "/openapi.json", "/generate?n=0"]
LOADED = re.compile(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]+)')


@pytest.fixture(scope="module")
def bare_api(redis_url: str) -> Iterator[httpx.Client]:
    """A client of an app without documentation and metrics."""
    settings = ServiceSettings(redis_url=redis_url, models=FACTS.name, docs=False, metrics=False, page=False)
    with client_of(create_app(settings)) as client:
        yield client


@pytest.mark.parametrize("path", EVERYWHERE)
def test_no_answer_may_be_framed_sniffed_or_referred_from(path: str, api: httpx.Client) -> None:
    headers = api.get(path).headers
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/models?page=2", 422), ("/docs", 404)])
def test_no_answer_names_a_documentation_that_is_not_served(path: str, status: int, bare_api: httpx.Client) -> None:
    assert "see /docs" not in (detail := problem_of(bare_api.get(path), status)["detail"])
    assert "/docs lists" not in detail


def test_an_answer_without_a_tag_is_not_kept(api: httpx.Client) -> None:
    assert api.get("/models").headers["Cache-Control"] == "no-store"


def test_a_picture_is_kept_by_its_client_alone_and_asked_for_again(generate: Callable[..., httpx.Response]) -> None:
    assert generate("?seed=1").headers["Cache-Control"] == "private, no-cache"


def test_the_page_may_run_its_own_scripts_and_no_others(api: httpx.Client) -> None:
    answer = api.get("/docs")
    policy = answer.headers["Content-Security-Policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_no_page_may_ask_another_host(path: str, api: httpx.Client) -> None:
    answer = api.get(path)
    assert LOADED.findall(answer.text)
    assert [file for file in LOADED.findall(answer.text) if not file.startswith("/")] == []
    assert "://" not in answer.headers["Content-Security-Policy"]


def test_the_front_page_runs_and_wears_its_own_files_alone(api: httpx.Client) -> None:
    policy = api.get("/").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/swagger-ui.css", "/openapi.json", "/redoc", "/metrics", "/", "/static/page.js"]
)
def test_what_is_switched_off_is_not_there(path: str, bare_api: httpx.Client) -> None:
    assert bare_api.get(path).status_code == 404


def test_what_is_switched_off_takes_nothing_else_along(bare_api: httpx.Client) -> None:
    assert bare_api.get("/livez").status_code == 200
    answer = bare_api.get("/generate")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
