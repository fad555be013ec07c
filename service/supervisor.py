"""The worker processes of `tarflow serve`: started, watched, started again, stopped.

Owns their environment and the pace of restarts. Knows nothing of what they run.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from subprocess import Popen

from redis import Redis

from service.reclaim import end_leases
from service.settings import ServiceSettings
from service.tether import Start, stop_all, tether
from worker.contract import Kind, model_name

WATCH_INTERVAL_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
DRAIN_TIMEOUT_S = 30.0
REDIS_TIMEOUT_S = 2.0

log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """One worker's place, whoever fills it at the moment."""

    kind: Kind
    checkpoint: str
    environment: dict[str, str]
    process: Popen[bytes]
    started_s: float = field(default_factory=time.monotonic)
    pause_s: float = 1.0
    restart_at_s: float | None = None

    @property
    def title(self) -> str:
        """What the log calls it."""
        return f"{self.kind} worker of {self.checkpoint}"


@contextmanager
def workers(settings: ServiceSettings, metrics_port: int) -> Iterator[None]:
    """Keep a worker of every kind running for every model while the block lasts; drain them at its end.

    Their metrics are at `metrics_port` and the ports after it; 0 = none.
    """
    ended = threading.Event()
    with tether() as start:
        places = [
            _begin(start, settings, kind, checkpoint, metrics_port + index if metrics_port else 0)
            for index, (checkpoint, kind) in enumerate((c, k) for c in settings.checkpoints for k in Kind)
        ]
        watcher = threading.Thread(target=_watch, args=(start, places, ended), name="supervisor", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
            stop_all([place.process for place in places], DRAIN_TIMEOUT_S)


def _begin(start: Start, settings: ServiceSettings, kind: Kind, checkpoint: str, metrics_port: int) -> _Worker:
    environment = {
        **os.environ,
        "TARFLOW_REDIS_URL": settings.redis_url,
        "TARFLOW_KIND": str(kind),
        "TARFLOW_MODELS": checkpoint,
        "TARFLOW_METRICS_PORT": str(metrics_port),
    }
    return _Worker(kind, checkpoint, environment, _start(start, environment))


def _start(start: Start, environment: dict[str, str]) -> Popen[bytes]:
    return start((sys.executable, "-m", "worker", "worker"), env=environment)


def _watch(start: Start, places: list[_Worker], ended: threading.Event) -> None:
    while not ended.wait(WATCH_INTERVAL_S):
        for place in places:
            _look_after(start, place)


def _look_after(start: Start, place: _Worker) -> None:
    """Start a dead worker again, after a pause that grows while it keeps dying young."""
    status, now_s = place.process.poll(), time.monotonic()
    if status is None:
        return
    if place.restart_at_s is None:
        place.pause_s = 1.0 if now_s - place.started_s > STEADY_S else min(2 * place.pause_s, LONGEST_PAUSE_S)
        place.restart_at_s = now_s + place.pause_s
        with Redis.from_url(place.environment["TARFLOW_REDIS_URL"], socket_timeout=REDIS_TIMEOUT_S) as connection:
            end_leases(connection, place.kind, model_name(place.checkpoint), place.process.pid)
        log.warning("%s ended with status %s; starting it again in %.0f s", place.title, status, place.pause_s)
    elif now_s >= place.restart_at_s:
        try:
            place.process = _start(start, place.environment)
        except OSError as error:  # too many processes, or no memory: both may pass
            log.warning("%s cannot be started: %s", place.title, error)
        place.started_s, place.restart_at_s = now_s, None
