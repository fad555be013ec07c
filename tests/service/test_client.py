"""Owns the laws of the Python client: what it asks for, it gets once, through failures that pass."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import httpx
import pytest

from service.client import PAUSE_S, Client, Picture, TarFlowError
from tests.service.stand_in import StandIn
from worker.contract import Kind

JOB = "a" * 32
PROBLEM = {"title": "Queue full", "detail": "64 images wait already", "status": 429}


class Door:
    """A service of known answers, in order; it remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """The next answer."""
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client(door: Door, patience_s: float = 10.0) -> Client:
    """A client at this door."""
    made = Client("http://service", patience_s)
    made.http.close()
    made.http = httpx.Client(base_url="http://service", transport=httpx.MockTransport(door))
    return made


def accepted() -> httpx.Response:
    """A job was taken."""
    return httpx.Response(202, json={"job_id": JOB})


def stream(*events: str) -> httpx.Response:
    """These events, numbered."""
    body = "".join(f'event: {event}\ndata: {{"n": {n}}}\nid: {n}-0\n\n' for n, event in enumerate(events))
    return httpx.Response(200, text=": heartbeat\n\n" + body)


def test_pictures_come_with_their_seeds() -> None:
    images = [{"png_base64": "UE5H", "seed": seed} for seed in (5, 6)]
    door = Door(accepted(), stream("status", "done"), httpx.Response(200, json={"images": images}))
    with client(door) as tarflow:
        pictures = tarflow.generate(class_name="7", n=2, denoise=True)
    assert [(picture.png, picture.seed) for picture in pictures] == [(b"PNG", 5), (b"PNG", 6)]
    assert dict(door.asked[0].url.params) == {"class": "7", "n": "2", "denoise": "true"}


PASSING = [httpx.Response(429, json=PROBLEM), *(httpx.Response(status) for status in (502, 503, 504))]


def test_what_is_asked_for_again_is_had_again(api: httpx.Client, stand_in: StandIn) -> None:
    with Client(str(api.base_url)) as tarflow:

        def ask() -> list[Picture]:
            return tarflow.generate("7", seed=42)

        with ThreadPoolExecutor(1) as pool:
            once = pool.submit(ask)
            stand_in.work(Kind.GENERATE)
        assert ask() == once.result()


@pytest.mark.parametrize("failure", [*PASSING, httpx.ConnectError("no")])
def test_a_failure_that_passes_is_tried_again_under_the_same_key(
    failure: httpx.Response | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.client.time.sleep", lambda _: None)
    door = Door(failure, accepted())
    with client(door) as tarflow:
        assert tarflow.submit() == JOB
    first, second = (request.headers["Idempotency-Key"] for request in door.asked)
    assert first == second


def test_retry_after_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("service.client.time.sleep", pauses.append)
    with client(Door(httpx.Response(429, json=PROBLEM, headers={"Retry-After": "7"}), accepted())) as tarflow:
        tarflow.submit()
    assert pauses == [7.0]


@pytest.mark.parametrize("date", [formatdate(0, usegmt=True), "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_date_to_come_again_that_has_passed_is_now(date: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("service.client.time.sleep", pauses.append)
    with client(Door(httpx.Response(503, headers={"Retry-After": date}), accepted())) as tarflow:
        tarflow.submit()
    assert pauses == [0.0]


def test_a_date_to_come_again_is_waited_for() -> None:
    later = formatdate(time.time() + 3600, usegmt=True)
    door = Door(httpx.Response(503, headers={"Retry-After": later}))
    with client(door) as tarflow, pytest.raises(TarFlowError) as refused:
        tarflow.submit()
    assert 3500 < refused.value.retry_after_s <= 3600


def test_a_time_to_come_again_that_is_none_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("service.client.time.sleep", pauses.append)
    with client(Door(httpx.Response(503, headers={"Retry-After": "soon"}), accepted())) as tarflow:
        tarflow.submit()
    assert pauses == [PAUSE_S]


def test_a_refusal_is_raised_with_the_problem_it_told() -> None:
    door = Door(httpx.Response(422, json={"detail": "guidance: at most 20"}))
    with client(door) as tarflow, pytest.raises(TarFlowError, match="guidance: at most 20") as caught:
        tarflow.submit(guidance=99)
    assert (caught.value.status, len(door.asked)) == (422, 1)


def test_when_patience_runs_out_the_last_failure_is_raised() -> None:
    door = Door(httpx.Response(429, json=PROBLEM, headers={"Retry-After": "60"}))
    with client(door, patience_s=1) as tarflow, pytest.raises(TarFlowError, match="64 images wait already"):
        tarflow.submit()


def test_a_broken_stream_is_taken_up_where_it_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.time.sleep", lambda _: None)
    door = Door(stream("status", "progress"), stream("done"))
    with client(door) as tarflow:
        assert [event.event for event in tarflow.events(JOB)] == ["status", "progress", "done"]
    assert door.asked[1].headers["Last-Event-ID"] == "1-0"


def test_cancelling_what_has_ended_is_no_error() -> None:
    with client(Door(httpx.Response(409, json={}))) as tarflow:
        tarflow.cancel(JOB)


def test_a_job_is_cancelled_under_the_key_that_it_was_asked_for_under() -> None:
    door = Door(accepted(), httpx.Response(202, json={}))
    with client(door) as tarflow:
        tarflow.cancel(tarflow.submit())
    asked, cancelled = (request.headers["Idempotency-Key"] for request in door.asked)
    assert asked == cancelled


def test_a_job_of_somebody_else_is_cancelled_without_a_key() -> None:
    door = Door(httpx.Response(200, json={}))
    with client(door) as tarflow:
        tarflow.cancel(JOB)
    assert "Idempotency-Key" not in door.asked[0].headers


@pytest.mark.parametrize("failure", [httpx.Response(503), httpx.ConnectError("no")])
def test_a_cancellation_is_tried_again(failure: httpx.Response | Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.time.sleep", lambda _: None)
    door = Door(failure, httpx.Response(200, json={}))
    with client(door) as tarflow:
        tarflow.cancel(JOB)
    assert [request.method for request in door.asked] == ["DELETE", "DELETE"]


def test_events_are_asked_for_again_after_the_time_that_a_service_names(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("service.client.time.sleep", pauses.append)
    with client(Door(httpx.Response(503, headers={"Retry-After": "5"}), stream("done"))) as tarflow:
        assert [event.event for event in tarflow.events(JOB)] == ["done"]
    assert pauses == [5.0]


def test_events_of_a_job_that_is_unknown_are_refused_at_once() -> None:
    door = Door(httpx.Response(404, json={"detail": "there is no job"}))
    with client(door) as tarflow, pytest.raises(TarFlowError, match="there is no job"):
        list(tarflow.events(JOB))


def test_a_stream_that_ends_early_is_not_asked_for_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("service.client.time.sleep", pauses.append)
    with client(Door(stream("status"), stream("done"))) as tarflow:
        list(tarflow.events(JOB))
    assert pauses == [PAUSE_S]


def test_patience_runs_out_while_nothing_but_heartbeats_come() -> None:
    def heartbeats() -> Iterator[bytes]:
        while True:
            yield b": heartbeat\n\n"

    door = Door(httpx.Response(200, content=heartbeats()))
    with client(door, patience_s=0.1) as tarflow, pytest.raises(TimeoutError, match=JOB):
        list(tarflow.events(JOB))


def test_an_image_goes_there_and_back() -> None:
    encoded = {"latents": [[0.5, 1.5]], "round_trip": {"changed_values": 0}}
    decoded = {"images": [{"png_base64": "UE5H"}]}
    answers = [accepted(), stream("done"), httpx.Response(200, json=encoded)]
    door = Door(*answers, accepted(), stream("done"), httpx.Response(200, json=decoded))
    with client(door) as tarflow:
        found = tarflow.encode(b"image", "7")
        assert tarflow.decode(found["latents"], "8", guidance=0) == b"PNG"
    assert [request.url.path for request in (door.asked[0], door.asked[3])] == ["/encode", "/decode"]
    assert json.loads(door.asked[3].content) == {"latents": [[0.5, 1.5]]}
    assert dict(door.asked[3].url.params) == {"class": "8", "guidance": "0"}


def test_what_lies_between_two_images_comes_as_pictures() -> None:
    images = [{"at": at, "png_base64": "UE5H"} for at in (0, 1)]
    door = Door(accepted(), stream("done"), httpx.Response(200, json={"images": images}))
    with client(door) as tarflow:
        assert tarflow.interpolate(b"one", b"other", n=2) == [b"PNG", b"PNG"]
    assert door.asked[0].content.count(b'name="image"') == 2


def test_a_picture_is_verified() -> None:
    door = Door(accepted(), stream("done"), httpx.Response(200, json={"verified": True}))
    with client(door) as tarflow:
        assert tarflow.verify(b"PNG") == {"verified": True}
