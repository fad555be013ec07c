"""Owns the laws of `GET /jobs/{id}/events`: what is told of a job, in which order, from where on, and to what end."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx
import pytest
from redis import Redis

from service.app import create_app
from service.embedded_redis import embedded_redis
from service.settings import ServiceSettings
from tests.service.conftest import client_of
from tests.service.problem_answers import problem_of
from tests.service.stand_in import FACTS, StandIn
from worker.contract import PREVIEW_FIELD, JobEvent, Kind, events_key, pace_key
from worker.errors import Overflow
from worker.news import tell

AT_ONCE = {"Prefer": "respond-async"}
LONGEST_SILENCE_S = 20.0  # ends a test whose stream does not end
RUNNING = {"state": "running", "position": None, "eta_s": None}


@dataclass(frozen=True)
class Told:
    """One event; what the service adds of its own has no id."""

    event: str
    data: Any
    id: str | None = None


@contextmanager
def following(api: httpx.Client, path: str, last_event_id: str | None = None) -> Iterator[Iterator[Told]]:
    """The events of a job as they come, to the end of the stream."""
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with api.stream("GET", f"{path}/events", headers=headers) as answer:
        assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/event-stream")
        yield _told(answer.iter_lines())


def _told(lines: Iterator[str]) -> Iterator[Told]:
    fields: dict[str, str] = {}
    deadline_s = time.monotonic() + LONGEST_SILENCE_S
    for line in lines:
        if line.startswith(":"):  # a comment, which keeps the connection open
            assert time.monotonic() < deadline_s, "nothing is told, and nothing ends"
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Told(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}


def all_told(api: httpx.Client, path: str, last_event_id: str | None = None) -> list[Told]:
    """Every event, once there is none to come."""
    with following(api, path, last_event_id) as events:
        return list(events)


@pytest.fixture
def queued(api: httpx.Client, redis: Redis) -> str:
    """The path of a job of one image that nobody has begun, at 10 s an image."""
    redis.set(pace_key(Kind.GENERATE, FACTS.name), 10)
    return api.post("/generate", headers=AT_ONCE).headers["Location"]


@pytest.fixture
def done(queued: str, redis: Redis, stand_in: StandIn) -> str:
    """The path of a job that has succeeded and told of its progress."""
    tell(redis, job_id(queued), JobEvent.PROGRESS, {"progress": 0.5})
    stand_in.work(Kind.GENERATE)
    return queued


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that looks where a job is all the time."""
    monkeypatch.setattr("service.events.LOOK_AGAIN_S", 0.01)


def job_id(path: str) -> str:
    """The id in a path."""
    return path.removeprefix("/jobs/")


def test_what_happens_to_a_job_is_told_in_order_and_once(
    queued: str, api: httpx.Client, redis: Redis, stand_in: StandIn
) -> None:
    with following(api, queued) as events:
        told = [next(events)]
        tell(redis, job_id(queued), JobEvent.PROGRESS, {"progress": 0.5})
        tell(redis, job_id(queued), JobEvent.PREVIEW, {"png_base64": "UE5H"})
        stand_in.work(Kind.GENERATE)
        told += events
    assert [(each.event, each.data) for each in told] == [
        ("status", {"state": "queued", "position": 0, "eta_s": 10}),
        ("progress", {"progress": 0.5}),
        ("preview", {"png_base64": "UE5H"}),
        ("status", RUNNING),
        ("done", {"state": "succeeded"}),
    ]


@pytest.mark.usefixtures("impatient")
def test_a_job_that_waits_is_told_of_its_place_whenever_that_changes(
    queued: str, api: httpx.Client, stand_in: StandIn
) -> None:
    second = api.post("/generate", headers=AT_ONCE).headers["Location"]
    with following(api, second) as events:
        assert next(events).data == {"state": "queued", "position": 1, "eta_s": 20}
        api.delete(queued)
        moved_up = next(each for each in events if each.data["position"] == 0)
        assert (moved_up.event, moved_up.id) == ("status", None)
        stand_in.work(Kind.GENERATE)
        told = [moved_up, *events]
    assert [each.data for each in told[-2:]] == [RUNNING, {"state": "succeeded"}]
    assert all(one.data != other.data for one, other in pairwise(told))


@pytest.mark.parametrize("heard", [1, 2])
def test_who_comes_back_is_told_what_came_after_the_last_that_was_heard(
    heard: int, done: str, api: httpx.Client
) -> None:
    told = all_told(api, done)
    assert [each.event for each in told] == ["progress", "status", "done"]
    assert all_told(api, done, told[heard - 1].id) == told[heard:]


def test_who_has_heard_the_end_is_told_it_again_and_nothing_else(done: str, api: httpx.Client) -> None:
    last = all_told(api, done)[-1]
    assert all_told(api, done, last.id) == [Told("done", {"state": "succeeded"})]


def _succeeds(_api: httpx.Client, _path: str, stand_in: StandIn) -> None:
    stand_in.work(Kind.GENERATE)


def _fails(_api: httpx.Client, _path: str, stand_in: StandIn) -> None:
    StandIn(stand_in.connection, failure=Overflow("too far out")).work(Kind.GENERATE)


def _is_cancelled(api: httpx.Client, path: str, _stand_in: StandIn) -> None:
    api.delete(path)


@pytest.mark.parametrize(("end", "state"), [(_succeeds, "succeeded"), (_fails, "failed"), (_is_cancelled, "cancelled")])
def test_of_a_job_whose_events_have_expired_its_end_is_told(
    end: Callable[..., None], state: str, queued: str, api: httpx.Client, redis: Redis, stand_in: StandIn
) -> None:
    end(api, queued, stand_in)
    assert redis.delete(events_key(job_id(queued)))
    assert all_told(api, queued) == [Told("done", {"state": state})]


def test_who_follows_a_job_wants_its_previews(queued: str, api: httpx.Client, redis: Redis) -> None:
    assert redis.hget(f"rq:job:{job_id(queued)}", PREVIEW_FIELD) is None
    with following(api, queued) as events:
        next(events)
        assert redis.hget(f"rq:job:{job_id(queued)}", PREVIEW_FIELD) == b"1"


def test_a_job_that_nobody_knows_has_no_events(api: httpx.Client) -> None:
    problem = problem_of(api.get(f"/jobs/{'7' * 32}/events"), 404)
    assert problem["type"] == "urn:tarflow:problem:unknown-job"


@pytest.mark.parametrize("last_event_id", ["seven", "-1", "1-", "1-2-3", "1" * 19, ""])
def test_an_id_that_is_none_of_ours_is_refused(last_event_id: str, queued: str, api: httpx.Client) -> None:
    answer = api.get(f"{queued}/events", headers={"Last-Event-ID": last_event_id})
    assert "Last-Event-ID" in problem_of(answer, 400)["detail"]


@pytest.mark.usefixtures("impatient")
def test_without_redis_the_events_end_before_the_job(caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as there:
        url = there.enter_context(embedded_redis())
        with client_of(create_app(ServiceSettings(redis_url=url, models=FACTS.name))) as api:
            with Redis.from_url(url) as redis:
                StandIn(redis).announce(*Kind)
            path = api.post("/generate", headers=AT_ONCE).headers["Location"]
            with following(api, path) as events:
                assert next(events).data["state"] == "queued"
                there.close()
                assert list(events) == []
    assert f"events of job {job_id(path)} end early" in caplog.text
