"""Owns the laws of bodies that trickle in: bounded, refused, and nobody else is held up."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from service.app import create_app
from service.settings import ServiceSettings
from tests.service.conftest import client_of
from tests.service.image_files import encoded, plain
from tests.service.stand_in import FACTS, StandIn
from worker.contract import Kind

UPLOAD_S = 0.5
PAUSE_S = 0.05
LONGEST_S = 20.0
PNG = encoded(plain("L", (28, 28), 7), "PNG")
HEAD = "POST /score HTTP/1.1\r\nHost: it\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"


@pytest.fixture(scope="module")
def hasty_api(redis_url: str) -> Iterator[httpx.Client]:
    """A client of an app that waits half a second for a body."""
    with client_of(create_app(ServiceSettings(redis_url=redis_url, models=FACTS.name, upload_s=UPLOAD_S))) as client:
        yield client


def trickled(api: httpx.Client, media_type: str, first: bytes) -> str:
    """The answer to a body whose bytes come one by one, as long as somebody takes them."""
    address = (api.base_url.host, api.base_url.port or 80)
    with socket.create_connection(address, timeout=LONGEST_S) as connection:
        connection.sendall(HEAD.format(media_type=media_type, length=10_000).encode() + first)
        connection.settimeout(PAUSE_S)
        deadline_s = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline_s:
            try:
                connection.sendall(b"x")
                if said := connection.recv(65536):
                    return said.decode()
            except TimeoutError:
                continue
    raise AssertionError("no answer in time")


@pytest.mark.parametrize(
    ("media_type", "first"),
    [
        ("image/png", b""),
        ("multipart/form-data; boundary=it", b'--it\r\nContent-Disposition: form-data; name="x"\r\n\r\n'),
    ],
)
def test_a_body_that_trickles_in_is_refused(media_type: str, first: bytes, hasty_api: httpx.Client) -> None:
    said = trickled(hasty_api, media_type, first)
    assert said.startswith("HTTP/1.1 408 ")
    assert '"type":"urn:tarflow:problem:body-too-slow"' in said
    assert "TARFLOW_UPLOAD_S" in said


def test_a_body_that_is_there_may_be_worked_on_for_longer(hasty_api: httpx.Client, stand_in: StandIn) -> None:
    def post() -> httpx.Response:
        return hasty_api.post("/score", content=PNG, headers={"Content-Type": "image/png", "Prefer": "wait=1"})

    stand_in.announce(*Kind)
    begun_s = time.monotonic()
    assert post().status_code == 202  # nobody works: the whole wait is over
    assert time.monotonic() - begun_s > UPLOAD_S


def test_a_body_in_time_is_scored(hasty_api: httpx.Client, stand_in: StandIn) -> None:
    answer = stand_in.work_while(
        Kind.SCORE, lambda: hasty_api.post("/score", content=PNG, headers={"Content-Type": "image/png"})
    )
    assert answer.status_code == 200
