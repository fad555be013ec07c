"""Laws of a worker's probes: what they say of a process that loads, works, waits for Redis, is stuck or leaves."""

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from redis import Redis

from tests.worker.conftest import one_by_one
from worker.batch_worker import BatchWorker
from worker.canary import Canary
from worker.contract import Kind
from worker.engine import Engine
from worker.health import REDIS_SILENCE_S, Health
from worker.health_port import HealthServer, health_port
from worker.leases import GRACE_S

NOTHING: Any = one_by_one(lambda _job, _payload: {})


@pytest.fixture
def worker(connection: Redis) -> BatchWorker:
    """A worker that has nothing to do."""
    return BatchWorker(connection, Kind.SCORE, "tiny", NOTHING, max_cost=1, window_s=0)


@pytest.fixture
def health(engine: Engine, worker: BatchWorker) -> Health:
    """Of a worker that is ready."""
    health = Health(Canary.hatch(engine.flow, None), worker)
    health.redis_answered()
    return health


@pytest.fixture
def registry() -> CollectorRegistry:
    """Metrics with one sample."""
    registry = CollectorRegistry()
    Counter("tarflow_it", "it", registry=registry).inc()
    return registry


@pytest.fixture
def probes(health: Health, registry: CollectorRegistry) -> Iterator[httpx.Client]:
    """A client of the worker's port."""
    with (
        health_port("127.0.0.1", 0, health, registry) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client,
    ):
        yield client


def test_a_worker_that_has_all_it_needs_is_well_and_ready(health: Health) -> None:
    assert (health.illness(), health.hindrance()) == (None, None)


def test_a_process_that_loads_its_weights_is_well_and_not_ready() -> None:
    health = Health()
    assert (health.illness(), health.hindrance()) == (None, "the weights are being loaded")


def test_a_canary_that_failed_is_not_ready(health: Health) -> None:
    assert health.canary
    health.canary.passed = False
    assert health.hindrance() == "the canary failed"


def test_a_worker_that_redis_has_not_answered_yet_is_not_ready(health: Health) -> None:
    health.redis_answered_s = float("-inf")
    assert health.hindrance() == "Redis has not answered yet"


def test_a_worker_whose_redis_is_silent_is_well_and_not_ready(health: Health) -> None:
    answered_s = health.redis_answered_s
    health.clock = lambda: answered_s + REDIS_SILENCE_S + 1
    assert (health.illness(), health.hindrance()) == (None, "Redis does not answer")


def test_a_worker_that_was_told_to_stop_is_well_and_not_ready(health: Health, worker: BatchWorker) -> None:
    worker._stop_requested = True
    assert (health.illness(), health.hindrance()) == (None, "told to stop")


def test_a_batch_that_is_stuck_past_its_deadline_is_an_illness(health: Health, worker: BatchWorker) -> None:
    worker.leases.allow(-GRACE_S - 1)
    assert health.illness() == "a batch is stuck past its deadline"
    assert health.hindrance() == health.illness()


def test_a_batch_within_its_time_is_none(health: Health, worker: BatchWorker) -> None:
    worker.leases.allow(60)
    assert health.illness() is None


def test_a_thread_that_kept_the_leases_and_died_is_an_illness(health: Health, worker: BatchWorker) -> None:
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    worker.leases.threads = (ended,)
    assert health.illness() == "a thread that keeps the leases has died"


def test_a_worker_that_has_ended_by_itself_is_not_ill(health: Health, worker: BatchWorker) -> None:
    with worker.leases.renewing():
        assert health.illness() is None
    assert health.illness() is None


@pytest.mark.parametrize(("path", "said"), [("/livez", "alive"), ("/readyz", "ready")])
def test_a_probe_is_content_with_a_worker_that_is_ready(path: str, said: str, probes: httpx.Client) -> None:
    answer = probes.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": said})


def test_a_probe_says_why_it_is_not_content(probes: httpx.Client, health: Health, worker: BatchWorker) -> None:
    worker.leases.allow(-GRACE_S - 1)
    for path, said in (("/livez", "not alive"), ("/readyz", "not ready")):
        answer = probes.get(path)
        assert (answer.status_code, answer.json()) == (503, {"status": said, "reason": health.illness()})


def test_a_process_that_loads_answers_its_probes(registry: CollectorRegistry) -> None:
    with health_port("127.0.0.1", 0, Health(), registry) as port:
        url = f"http://127.0.0.1:{port}"
        assert [httpx.get(url + path).status_code for path in ("/livez", "/readyz", "/metrics")] == [200, 503, 200]


def test_the_metrics_are_there_too(probes: httpx.Client) -> None:
    answer = probes.get("/metrics?name[]=it")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "tarflow_it_total 1.0" in answer.text


@pytest.mark.parametrize("path", ["/", "/metrics/", "/../etc/passwd"])
def test_nothing_else_is_there(path: str, probes: httpx.Client) -> None:
    assert probes.get(path).status_code == 404


def test_a_client_that_says_nothing_holds_up_nobody(probes: httpx.Client) -> None:
    address = (probes.base_url.host, probes.base_url.port or 80)
    with socket.create_connection(address):
        assert probes.get("/livez").status_code == 200


def ask_and_reset(probes: httpx.Client) -> None:
    """Ask half a question, and break off the connection."""
    with socket.create_connection((probes.base_url.host, probes.base_url.port or 80)) as asker:
        asker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        asker.sendall(b"GET /met")


def test_a_client_that_breaks_off_is_no_error(
    probes: httpx.Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    handled = threading.Event()

    def handle_error(server: HealthServer, *arguments: Any) -> None:
        handle(server, *arguments)
        handled.set()

    handle = HealthServer.handle_error
    monkeypatch.setattr(HealthServer, "handle_error", handle_error)
    ask_and_reset(probes)
    assert handled.wait(20)
    assert capfd.readouterr().err == ""


def test_an_error_of_ours_is_logged(
    probes: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Health, "illness", lambda _self: 1 / 0)
    with pytest.raises(httpx.RemoteProtocolError):
        probes.get("/livez")
    assert "got no answer" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_the_port_is_free_again_afterwards(registry: CollectorRegistry) -> None:
    with health_port("127.0.0.1", 0, Health(), registry) as port:
        pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/livez")


def test_a_port_that_is_taken_is_an_error(registry: CollectorRegistry) -> None:
    with (
        health_port("127.0.0.1", 0, Health(), registry) as port,
        pytest.raises(OSError, match="in use"),
        health_port("127.0.0.1", port, Health(), registry),
    ):
        pass
