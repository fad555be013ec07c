"""Laws of `tarflow api` and `tarflow worker` apart, with a Redis that comes and goes."""

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import httpx
import pytest

from tests.e2e.conftest import Launcher, Program, Site, answers, client
from tests.e2e.machine import STOP_TIMEOUT_S, RedisServer, free_port, until

PROMPT_S = 10.0  # longer than any time-out towards Redis, shorter than a wait for a result


@pytest.fixture(scope="module")
def redis_server(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that answers at the start of the module."""
    server = RedisServer(launcher.start, tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def api(launcher: Launcher, redis_server: RedisServer, tiny: str) -> Iterator[Site]:
    """`tarflow api` alone: it offers `tiny`, and nobody works for it."""
    port = free_port()
    arguments = ("api", "--port", str(port), "--models", tiny)
    with launcher.running(*arguments, redis_url=redis_server.url) as program, client(port) as http:
        until(lambda: answers(http, "/livez"))
        yield Site(program, http)


@dataclass(frozen=True)
class Workers:
    """Starts workers of generations."""

    launcher: Launcher
    redis_url: str

    def of(self, model: str, **more: str) -> AbstractContextManager[Program]:
        """A worker of one model, until the end of the block."""
        settings = {"redis_url": self.redis_url, "metrics_port": "0", **more}
        return self.launcher.running("worker", "--kind", "generate", "--model", model, **settings)


@pytest.fixture
def workers(launcher: Launcher, redis_server: RedisServer) -> Workers:
    """Workers for the module's Redis."""
    return Workers(launcher, redis_server.url)


def assert_refused_for_now(answer: httpx.Response) -> None:
    """503, and when to come again."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0


def assert_nothing_is_taken(api: Site) -> None:
    """It is not ready, and a job is refused."""
    assert_refused_for_now(api.http.get("/readyz"))
    assert_refused_for_now(api.http.post("/generate"))


def test_it_is_ready_and_takes_jobs_exactly_while_a_worker_lives(api: Site, workers: Workers, tiny: str) -> None:
    assert_nothing_is_taken(api)
    with workers.of(tiny) as worker:
        until(lambda: answers(api.http, "/readyz"))
        assert api.http.post("/generate").status_code == 200
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(STOP_TIMEOUT_S) == 0
    assert_nothing_is_taken(api)


def test_all_recover_by_themselves_when_redis_is_back(
    api: Site, workers: Workers, redis_server: RedisServer, tiny: str
) -> None:
    with workers.of(tiny) as worker:
        until(lambda: answers(api.http, "/readyz"))
        redis_server.stop()
        try:
            assert_refused_for_now(api.http.post("/generate", timeout=PROMPT_S))
            assert_refused_for_now(api.http.get("/readyz", timeout=PROMPT_S))
            assert api.http.get("/livez", timeout=PROMPT_S).status_code == 200
        finally:
            redis_server.start()
        until(lambda: answers(api.http, "/readyz"))
        assert api.http.post("/generate").status_code == 200
        assert worker.process.poll() is None
