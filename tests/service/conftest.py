"""The app over HTTP, beside a real Redis and a stand-in for its workers.

Owns the servers of the session and what each test finds in Redis. Knows no law.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from redis import Redis

from service.app import create_app
from service.embedded_redis import embedded_redis
from service.settings import ServiceSettings
from tests.service.stand_in import FACTS, StandIn
from worker.contract import Kind

MAX_UPLOAD_BYTES = 50_000  # less than uvicorn reads ahead, so that it can answer before it hangs up
MAX_IMAGE_PIXELS = 100_000
TIMEOUT_S = 30.0


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """Nothing that this machine is set to reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TARFLOW_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis for every test that wants one."""
    with embedded_redis() as url:
        yield url


@pytest.fixture(scope="session")
def live_api(redis_url: str) -> Iterator[httpx.Client]:
    """A client of the app, which offers a model with workers and one without."""
    settings = ServiceSettings(
        redis_url=redis_url,
        models=f"{FACTS.name},deserted",
        max_upload_bytes=MAX_UPLOAD_BYTES,
        max_image_pixels=MAX_IMAGE_PIXELS,
    )
    with client_of(create_app(settings)) as client:
        yield client


@pytest.fixture(scope="session")
def orphan_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an app whose Redis is away."""
    nowhere: Path = tmp_path_factory.mktemp("away") / "redis.sock"
    with client_of(create_app(ServiceSettings(redis_url=f"unix://{nowhere}", models=FACTS.name))) as client:
        yield client


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """The Redis of the app, empty."""
    with Redis.from_url(redis_url, socket_timeout=60) as connection:
        connection.flushdb()
        yield connection


@pytest.fixture
def redis_names(redis: Redis) -> Callable[[], set[str]]:
    """A look at the names of all that is in Redis."""
    return lambda: {key.decode() for key in redis.scan_iter()}


@pytest.fixture
def deserted_api(live_api: httpx.Client, redis: Redis) -> httpx.Client:
    """A client of an app without a worker."""
    assert not redis.dbsize()
    return live_api


@pytest.fixture
def stand_in(redis: Redis) -> StandIn:
    """A worker that has announced itself for both kinds."""
    worker = StandIn(redis)
    worker.announce(*Kind)
    return worker


@pytest.fixture
def api(live_api: httpx.Client, stand_in: StandIn) -> httpx.Client:
    """A client of an app with a worker, which works when it is told to."""
    assert stand_in.facts.name == FACTS.name
    return live_api


@pytest.fixture
def generate(api: httpx.Client, stand_in: StandIn) -> Callable[..., httpx.Response]:
    """`POST /generate`, its job done while it waits."""

    def ask(query: str = "", **options: Any) -> httpx.Response:
        return stand_in.work_while(Kind.GENERATE, lambda: api.post(f"/generate{query}", **options))

    return ask


@pytest.fixture
def score(api: httpx.Client, stand_in: StandIn) -> Callable[..., httpx.Response]:
    """`POST /score`, its job done while it waits."""

    def ask(query: str = "", **options: Any) -> httpx.Response:
        return stand_in.work_while(Kind.SCORE, lambda: api.post(f"/score{query}", **options))

    return ask


@pytest.fixture
def ask(api: httpx.Client, stand_in: StandIn) -> Callable[..., httpx.Response]:
    """POST something, its job done while it waits."""

    def post(path: str, **options: Any) -> httpx.Response:
        return stand_in.work_while(Kind.GENERATE, lambda: api.post(path, **options))

    return post


@contextmanager
def client_of(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of an app that serves HTTP for the length of a block."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="on"))
    # The protocol is named: asyncio sends small answers at once only where it knows that it is TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        # It listens already: whoever connects before the app has started waits for it.
        listener.listen()
        thread = threading.Thread(target=server.run, args=([listener],), name="api")
        thread.start()
        port = listener.getsockname()[1]
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_S, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
