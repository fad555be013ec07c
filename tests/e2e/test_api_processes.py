"""Laws of `tarflow api` in several processes: one port, one sum of metrics, nothing left behind."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.e2e.conftest import Launcher, Site, answers, client, have_ended
from tests.e2e.machine import STOP_TIMEOUT_S, RedisServer, free_port, until

PROCESSES = 2
SAMPLE = 'tarflow_http_requests_total{method="GET",route="/models/{name}",status="404"}'
SCRAPES = 12


@pytest.fixture(scope="module")
def redis_server(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that answers."""
    server = RedisServer(launcher.start, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def site(launcher: Launcher, redis_server: RedisServer) -> Iterator[Site]:
    """`tarflow api` in two processes."""
    port = free_port()
    settings = {"redis_url": redis_server.url, "processes": str(PROCESSES), "models": "tiny"}
    with launcher.running("api", "--port", str(port), **settings) as program, client(port) as http:
        until(lambda: answers(http, "/livez"))
        yield Site(program, http)


def asked(site: Site, path: str) -> httpx.Response:
    """The answer to a client of its own, whichever process it meets."""
    with client(site.port) as http:
        return http.get(path)


def folder(launcher: Launcher) -> list[Path]:
    """Where the processes keep their counts."""
    return list(launcher.folder.glob("tarflow-metrics-*"))


def writers(launcher: Launcher) -> set[str]:
    """The processes that have counted something."""
    return {file.stem.rpartition("_")[2] for each in folder(launcher) for file in each.glob("counter_*.db")}


def count(text: str) -> float:
    """The value of the sample that the test makes; 0 where there is none."""
    values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(SAMPLE)]
    return float(values[0]) if values else 0.0


def test_every_request_is_counted_once_whichever_process_is_asked(site: Site, launcher: Launcher) -> None:
    sent = 0

    def both_have_answered() -> bool:
        nonlocal sent
        sent += 1
        return asked(site, "/models/none").status_code == 404 and len(writers(launcher)) == PROCESSES

    until(both_have_answered)
    assert {count(asked(site, "/metrics").text) for _ in range(SCRAPES)} == {float(sent)}


def test_the_queues_are_told_once(site: Site, launcher: Launcher) -> None:
    until(lambda: asked(site, "/livez").status_code == 200 and len(writers(launcher)) == PROCESSES)
    lines = asked(site, "/metrics").text.splitlines()
    for name in ("tarflow_queue_depth", "tarflow_queue_oldest_age_seconds", "tarflow_jobs_running", "tarflow_workers"):
        assert sorted(line for line in lines if line.startswith(f"{name}{{")) == [
            f'{name}{{kind="generate",model="tiny"}} 0.0',
            f'{name}{{kind="score",model="tiny"}} 0.0',
        ]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda end: end.name)
def test_nothing_is_left_when_it_ends(site: Site, end: signal.Signals) -> None:
    children = site.program.children()
    assert len(children) >= PROCESSES
    site.program.process.send_signal(end)
    site.program.process.wait(STOP_TIMEOUT_S)
    until(lambda: have_ended(children), STOP_TIMEOUT_S)


def test_its_counts_are_gone_when_it_ends(site: Site, launcher: Launcher) -> None:
    before = folder(launcher)
    site.program.process.terminate()
    site.program.process.wait(STOP_TIMEOUT_S)
    assert len(folder(launcher)) == len(before) - 1


def test_a_process_that_dies_is_replaced(site: Site) -> None:
    before = until(lambda: found if len(found := serving(site)) == PROCESSES else {})
    killed = max(before)
    before[killed].kill()
    until(lambda: len(now := serving(site)) == PROCESSES and killed not in now)
    assert asked(site, "/livez").status_code == 200


def serving(site: Site) -> "dict[int, psutil.Process]":
    """The processes that serve, by their ids; not the one that looks after what they share."""
    found = {}
    for child in site.program.children():
        with suppress(psutil.Error):  # It ended while we looked.
            if "spawn_main" in " ".join(child.cmdline()):
                found[child.pid] = child
    return found
