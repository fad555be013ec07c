"""What the tests ask of this machine: a free port, a wait for what cannot be awaited, a Redis that comes back.

Knows nothing of ours but how to start a process.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TypeVar

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from service.embedded_redis import server_binary
from service.tether import Start, stop

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
LOOK_INTERVAL_S = 0.05

T = TypeVar("T")


def free_port() -> int:
    """A loopback port that nobody had a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(look: Callable[[], T], within_s: float = START_TIMEOUT_S) -> T:
    """What `look` finds once it finds something; the test fails if that takes longer than `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s"
        time.sleep(LOOK_INTERVAL_S)
    return found


@dataclass
class RedisServer:
    """A Redis that always has the same address and the same data."""

    start_process: Start
    folder: Path
    port: int = field(default_factory=free_port)
    process: Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        durable = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(self.folder))
        command = (str(server_binary()), "--bind", "127.0.0.1", "--port", str(self.port), *durable)
        self.process = self.start_process(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        until(self._answers)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self.process is not None:
            stop(self.process, STOP_TIMEOUT_S)

    def _answers(self) -> bool:
        with Redis.from_url(self.url) as probe:
            try:
                return bool(probe.ping())
            except RedisConnectionError:
                return False
