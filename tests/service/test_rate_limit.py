"""Owns the laws of the rate limit: who is one client, what counts, and what is told."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from service.answers import etag
from service.api_keys import new_key
from service.app import create_app
from service.content_negotiation import JSON
from service.rate_limit import client_of as client_name_of
from service.settings import ServiceSettings
from tests.service.conftest import client_of
from tests.service.image_files import encoded, plain
from tests.service.problem_answers import problem_of, retry_after_s
from tests.service.stand_in import FACTS
from worker.contract import ScoreRequest

MOST = 3
AT_ONCE = {"Prefer": "respond-async"}
ADA, ADA_KEY = new_key("ada")
BOB, BOB_KEY = new_key("bob")
POLICY = re.compile(r'"work";q=3;w=3600')
LEFT = re.compile(r'"work";r=(\d+);t=(\d+)')


@pytest.fixture(scope="module")
def bounded_api(redis_url: str) -> Iterator[httpx.Client]:
    """A client of an app that lets a client ask for work a few times an hour."""
    settings = ServiceSettings(redis_url=redis_url, models=FACTS.name, rate_limit=f"{MOST}/hour")
    with client_of(create_app(settings)) as client:
        yield client


@pytest.fixture(scope="module")
def keyed_api(redis_url: str) -> Iterator[httpx.Client]:
    """The same, for clients with keys."""
    entries = f"{ADA_KEY.entry},{BOB_KEY.entry}"
    settings = ServiceSettings(redis_url=redis_url, models=FACTS.name, rate_limit=f"{MOST}/hour", api_keys=entries)
    with client_of(create_app(settings)) as client:
        yield client


pytestmark = pytest.mark.usefixtures("stand_in")


def left(answer: httpx.Response) -> int:
    """How many requests a client is told that it has left."""
    assert POLICY.fullmatch(answer.headers["RateLimit-Policy"])
    found = LEFT.fullmatch(answer.headers["RateLimit"])
    assert found is not None
    assert 1 <= int(found[2]) <= 3600
    return int(found[1])


def post(api: httpx.Client, path: str = "/generate", **headers: str) -> httpx.Response:
    """Ask for work, and do not wait for it."""
    return api.post(path, headers=AT_ONCE | headers)


def test_work_within_the_bound_is_accepted_and_told_what_is_left(bounded_api: httpx.Client) -> None:
    answers = [post(bounded_api) for _ in range(MOST)]
    assert [(answer.status_code, left(answer)) for answer in answers] == [(202, 2), (202, 1), (202, 0)]


def test_work_beyond_the_bound_is_refused_until_later(bounded_api: httpx.Client) -> None:
    for _ in range(MOST):
        post(bounded_api)
    answer = post(bounded_api)
    assert problem_of(answer, 429)["type"] == "urn:tarflow:problem:rate-limited"
    assert retry_after_s(answer) <= 3600
    assert left(answer) == 0


def test_what_is_refused_is_not_queued(bounded_api: httpx.Client, redis: Redis) -> None:
    for _ in range(MOST + 2):
        post(bounded_api)
    assert redis.llen("rq:queue:tarflow:generate:digits") == MOST


def score(api: httpx.Client, images: int, query: str = "?class=all", **headers: str) -> httpx.Response:
    """Ask for the scores of so many images."""
    shades = [encoded(plain("L", (28, 28), shade), "PNG") for shade in range(images)]
    files = [("image", ("grey.png", shade, "image/png")) for shade in shades]
    return api.post(f"/score{query}", files=files, headers=AT_ONCE | headers)


@pytest.mark.parametrize(("images", "posts"), [(5, 1), (6, 2), (11, 2), (12, 3)])
def test_a_score_under_every_class_counts_as_the_posts_that_its_passes_would_take(
    images: int, posts: int, bounded_api: httpx.Client
) -> None:
    answer = score(bounded_api, images)
    assert (answer.status_code, left(answer)) == (202, MOST - posts)


def test_a_score_of_as_many_images_as_may_be_counts_as_one(bounded_api: httpx.Client) -> None:
    assert left(score(bounded_api, 64, "")) == MOST - 1


def test_a_dear_score_beyond_the_bound_is_refused_and_not_queued(bounded_api: httpx.Client, redis: Redis) -> None:
    post(bounded_api)
    answer = score(bounded_api, 12)
    assert problem_of(answer, 429)["detail"].endswith("(TARFLOW_RATE_LIMIT); this one counts as 3")
    assert retry_after_s(answer) <= 3600
    assert redis.llen("rq:queue:tarflow:score:digits") == 0


def test_what_a_dear_score_was_refused_for_is_still_there(bounded_api: httpx.Client) -> None:
    post(bounded_api)
    assert left(score(bounded_api, 12)) == MOST - 1
    assert left(post(bounded_api)) == MOST - 2


def test_no_request_counts_as_more_than_all_that_a_client_may_have(bounded_api: httpx.Client) -> None:
    answer = score(bounded_api, 64)
    assert (answer.status_code, left(answer)) == (202, 0)


def test_an_answer_that_the_client_has_counts_as_one(bounded_api: httpx.Client, redis: Redis) -> None:
    asked = ScoreRequest.model_validate(score(bounded_api, 12).json()["request"])
    for key in redis.scan_iter("*rate*"):
        redis.delete(key)
    answer = score(bounded_api, 12, **{"If-None-Match": etag(asked, JSON)})
    assert (answer.status_code, left(answer)) == (304, MOST - 1)


def test_both_kinds_of_work_count_together(bounded_api: httpx.Client) -> None:
    assert left(post(bounded_api)) == 2
    assert left(post(bounded_api, "/score")) == 1


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/models", f"/jobs/{'0' * 32}", "/generate"])
def test_nothing_else_counts(path: str, bounded_api: httpx.Client) -> None:
    assert "RateLimit" not in bounded_api.get(path).headers
    assert left(post(bounded_api)) == MOST - 1


def test_work_refused_by_the_rate_is_counted_by_its_reason(bounded_api: httpx.Client) -> None:
    for _ in range(MOST + 1):
        post(bounded_api)
    assert 'tarflow_rejected_total{reason="RateLimited"}' in bounded_api.get("/metrics").text


def test_each_key_has_a_bound_of_its_own(keyed_api: httpx.Client) -> None:
    for _ in range(MOST):
        post(keyed_api, Authorization=f"Bearer {ADA}")
    assert post(keyed_api, Authorization=f"Bearer {ADA}").status_code == 429
    assert post(keyed_api, Authorization=f"Bearer {BOB}").status_code == 202


def test_who_is_not_let_in_uses_up_nobodys_share(keyed_api: httpx.Client) -> None:
    for _ in range(MOST + 1):
        problem_of(post(keyed_api), 401)
    assert left(post(keyed_api, Authorization=f"Bearer {ADA}")) == MOST - 1


def test_without_redis_the_queue_is_unavailable(tmp_path: Any) -> None:
    settings = ServiceSettings(redis_url=f"unix://{tmp_path}/none", models=FACTS.name, rate_limit="3/hour")
    with client_of(create_app(settings)) as api:
        answer = post(api)
    assert problem_of(answer, 503)["type"] == "urn:tarflow:problem:queue-unavailable"
    assert retry_after_s(answer)


def test_without_a_bound_nothing_is_told_of_one(api: httpx.Client) -> None:
    assert not {"RateLimit", "RateLimit-Policy"} & set(post(api).headers)


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ({"state": {"client_name": "ada"}, "client": ("192.0.2.1", 1)}, "key:ada"),
        ({"client": ("192.0.2.1", 1)}, "address:192.0.2.1"),
        ({"client": ("2001:db8::1", 1)}, "address:2001:db8::/64"),
        ({"client": ("2001:db8::ffff", 1)}, "address:2001:db8::/64"),
        ({"client": ("fe80::1%eth0", 1)}, "address:fe80::/64"),
        ({"client": None}, "address:unknown"),
        ({"client": ("", 0)}, "address:unknown"),
        ({"client": ("key:ada", 0)}, "address:unknown"),
    ],
)
def test_a_client_is_the_owner_of_a_key_or_else_an_address(scope: dict[str, Any], name: str) -> None:
    assert client_name_of(scope) == name
