"""Laws of a Redis that is guarded: our user may do all that we do and nothing else, and TLS is checked."""

import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError

from service.embedded_redis import server_binary
from service.redis_clients import RedisClients
from service.tether import Start, stop
from tests.e2e.conftest import Launcher, Site, answers, client
from tests.e2e.machine import STOP_TIMEOUT_S, free_port, until
from worker.connection import connect

EXAMPLE = Path(__file__).parents[2] / "docker" / "redis" / "users.acl.example"
PASSWORD = "a long random password"
URL_PASSWORD = "a%20long%20random%20password"
ADMIN = "user admin on nopass ~* &* +@all"


@dataclass(frozen=True)
class GuardedRedis:
    """A Redis with the users of the example, and one for the tests to look with."""

    port: int

    @property
    def url(self) -> str:
        """For us."""
        return f"redis://tarflow:{URL_PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def admin(self) -> Redis:
        """For the tests."""
        return Redis(port=self.port, username="admin", password="any")

    def refusals(self) -> list[str]:
        """What was refused so far."""
        log = self.admin.execute_command("ACL", "LOG")
        return [f"{each[b'reason'].decode()} {each[b'object'].decode()}" for each in map(_pairs, log)]


def _pairs(entry: list[bytes] | dict[bytes, bytes]) -> dict[bytes, bytes]:
    return entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2], strict=True))


@pytest.fixture(scope="module")
def guarded(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRedis]:
    """A Redis whose users are those of the example."""
    folder = tmp_path_factory.mktemp("guarded")
    users = EXAMPLE.read_text().replace("0" * 64, hashlib.sha256(PASSWORD.encode()).hexdigest())
    # An ACL file has no comments, and knows the commands of its own version.
    newer = " +client|setinfo" if _server_version() >= (7, 2) else ""
    lines = [line + newer * line.startswith("user tarflow") for line in users.splitlines() if line.startswith("user ")]
    (folder / "users.acl").write_text("\n".join([*lines, ADMIN]) + "\n")
    with _redis(launcher.start, "--aclfile", str(folder / "users.acl"), "--dir", str(folder)) as port:
        redis = GuardedRedis(port)
        until(lambda: _answers(redis.admin))
        yield redis


def _server_version() -> tuple[int, int]:
    said = subprocess.check_output([server_binary(), "--version"])
    found = re.search(rb"v=(\d+)\.(\d+)", said)
    assert found is not None
    return int(found[1]), int(found[2])


@contextmanager
def _redis(start: Start, *options: str) -> Iterator[int]:
    port = free_port()
    command = (str(server_binary()), "--bind", "127.0.0.1", "--port", str(port), "--save", "", *options)
    process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        stop(process, STOP_TIMEOUT_S)


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisConnectionError:
        return False


@pytest.fixture(scope="module")
def site(launcher: Launcher, guarded: GuardedRedis, tiny: str) -> Iterator[Site]:
    """`tarflow serve` with that Redis, and every command of ours in use."""
    port = free_port()
    arguments = ("serve", "--port", str(port), "--metrics-port", "0", "--models", tiny)
    with (
        launcher.running(*arguments, redis_url=guarded.url, rate_limit="1000/minute") as program,
        client(port) as http,
    ):
        program.await_words("tarflow: ready")
        yield Site(program, http)


def state(http: httpx.Client, location: str) -> str:
    """A job's."""
    return str(http.get(location).json()["state"])


def test_every_kind_of_work_is_done_and_no_command_is_refused(site: Site, guarded: GuardedRedis) -> None:
    http, at_once = site.http, {"Prefer": "respond-async"}
    picture = http.post("/generate", params={"seed": 1}, headers={"Idempotency-Key": "it"})
    assert picture.status_code == 200, picture.text
    image = {"Content-Type": "image/png"}
    assert http.post("/score", content=picture.content, headers=image).status_code == 200
    followed = http.post("/generate", params={"n": 4}, headers=at_once).headers["Location"]
    assert "event: done" in http.get(f"{followed}/events").text
    assert http.get(f"{followed}/result").status_code == 200
    cancelled = http.post("/generate", params={"n": 16}, headers=at_once).headers["Location"]
    assert http.delete(cancelled).status_code in (200, 202, 409)
    assert http.get("/metrics").status_code == 200
    assert http.get("/models").status_code == 200
    assert guarded.refusals() == []


def test_what_a_killed_worker_held_is_brought_back_and_no_command_is_refused(site: Site, guarded: GuardedRedis) -> None:
    worker = site.program.worker("generate")
    assert worker is not None
    worker.suspend()
    location = site.http.post("/generate", params={"seed": 2}, headers={"Prefer": "respond-async"}).headers["Location"]
    worker.kill()
    until(lambda: state(site.http, location) == "succeeded")
    assert guarded.refusals() == []


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "KEYS *", "CONFIG GET *", "SHUTDOWN", "ACL LIST", "GET another:key", "MONITOR"],
)
def test_our_user_may_do_nothing_else(command: str, guarded: GuardedRedis) -> None:
    with Redis.from_url(guarded.url) as ours, pytest.raises(NoPermissionError):
        ours.execute_command(*command.split())
    guarded.admin.execute_command("ACL", "LOG", "RESET")


def test_nobody_else_may_do_anything(guarded: GuardedRedis) -> None:
    with Redis(port=guarded.port) as stranger, pytest.raises(RedisError, match=r"(?i)authenticat"):
        stranger.get("rq:queues")
    guarded.admin.execute_command("ACL", "LOG", "RESET")


@dataclass(frozen=True)
class Authority:
    """A certificate that vouches for 127.0.0.1 and itself."""

    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Made anew, so that it never expires."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made = Authority(folder / "it.crt", folder / "it.key")
    options = ("-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1")
    names = ("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(made.key), "-out", str(made.certificate))
    subprocess.run(("openssl", "req", *options, *names), check=True, capture_output=True, timeout=60)
    return made


@pytest.fixture(scope="module")
def encrypted(guarded: GuardedRedis, authority: Authority) -> Iterator[str]:
    """The host and port of something that speaks TLS and passes on to the guarded Redis."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, guarded.port), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:  # The listener is closed.
            return
        threading.Thread(target=_pass_on, args=(plain, context, port), daemon=True).start()


def _pass_on(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """Speak TLS with a client, until either side ends; one that does not trust us ends at once."""
    with (
        plain,
        suppress(OSError),
        context.wrap_socket(plain, server_side=True) as outer,
        socket.create_connection(("127.0.0.1", port)) as inner,
    ):
        answers = threading.Thread(target=_pump, args=(inner, outer), daemon=True)
        answers.start()
        _pump(outer, inner)
        answers.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def test_both_sides_speak_tls_to_who_is_vouched_for(encrypted: str, authority: Authority) -> None:
    url = f"rediss://tarflow:{URL_PASSWORD}@{encrypted}/0?ssl_ca_certs={authority.certificate}"
    with RedisClients.connect(url).blocking as service, connect(url) as worker:
        assert service.ping()
        assert worker.ping()


@pytest.mark.parametrize("more", ["", "?ssl_cert_reqs=required"])
def test_who_nobody_vouches_for_is_not_spoken_to(encrypted: str, more: str) -> None:
    url = f"rediss://tarflow:{URL_PASSWORD}@{encrypted}/0{more}"
    with RedisClients.connect(url).blocking as service, pytest.raises(RedisConnectionError, match="verify failed"):
        service.ping()


def test_a_picture_is_made_through_tls(launcher: Launcher, encrypted: str, authority: Authority, tiny: str) -> None:
    url = f"rediss://tarflow:{URL_PASSWORD}@{encrypted}/0?ssl_ca_certs={authority.certificate}"
    port = free_port()
    arguments = ("serve", "--port", str(port), "--metrics-port", "0", "--models", tiny)
    with launcher.running(*arguments, redis_url=url) as program, client(port) as http:
        program.await_words("tarflow: ready")
        until(lambda: answers(http, "/readyz"))
        assert http.post("/generate").status_code == 200
