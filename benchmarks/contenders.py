"""The services that `queue.py` compares: ours, RQ's own worker, and LitServe, each with an engine of known time.

Owns how each is started, and how one request is put to it. Knows nothing of load or clocks. The engine sleeps
and answers a fixed picture, so that whatever else takes time is the service's.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import get_context
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker

from worker.batch_worker import BatchWorker
from worker.contract import GenerateResult, Kind, ModelDefaults, ModelFacts
from worker.made import Made, Outcome
from worker.presence import presence
from worker.served_job import ServedJob

MODEL = "known"
MAX_BATCH = 32
PICTURE = bytes(600)
START_TIMEOUT_S = 60.0
TTL_S = 60
FACTS = ModelFacts(
    name=MODEL,
    digest="d",
    image_size=28,
    in_channels=1,
    dims=784,
    class_names=(),
    num_classes=0,
    noise_std=0.1,
    noise_type="gaussian",
    density="",
    architecture="",
    defaults=ModelDefaults(guidance=0, denoise=False, attention_temperature=1),
)

Ask = Callable[[int], Awaitable[None]]
"""One request with a seed, until its answer is there; one client uses it, one request at a time."""


@asynccontextmanager
async def ours(redis_url: str, batch_ms: float) -> AsyncIterator[Callable[[], Ask]]:
    """Our API and our batching worker."""
    port = free_port()
    settings = {"REDIS_URL": redis_url, "PORT": str(port), "MODELS": MODEL, "MAX_QUEUED": "4096"}
    environment = {**os.environ, **{f"TARFLOW_{name}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "service", "api"]
    with _process(_serve_batches, redis_url, batch_ms), program(command, environment):
        await until_answers(port, "/readyz")
        yield lambda: posting(port, lambda seed: (f"/generate?seed={seed}", b""))


@asynccontextmanager
async def simple_worker(redis_url: str, batch_ms: float) -> AsyncIterator[Callable[[], Ask]]:
    """RQ's in-process worker, asked directly: it pays for no HTTP."""
    connection = Redis.from_url(redis_url, socket_timeout=90, max_connections=128)
    queue = Queue("stock", connection=connection, serializer="json")

    def run(_seed: int) -> None:
        job = queue.enqueue("benchmarks.contenders.sleep_ms", batch_ms, result_ttl=TTL_S)
        while job.latest_result(timeout=30) is None:
            pass

    with _process(_serve_jobs, redis_url), ThreadPoolExecutor(64) as threads:

        async def ask(seed: int) -> None:
            await asyncio.get_running_loop().run_in_executor(threads, run, seed)

        yield lambda: ask


@asynccontextmanager
async def litserve(_redis_url: str, batch_ms: float) -> AsyncIterator[Callable[[], Ask]]:
    """LitServe with batching of its own; its queue is memory."""
    port = free_port()
    with program([sys.executable, "-m", "benchmarks.litserve_server", str(port), str(batch_ms)], dict(os.environ)):
        await until_answers(port, "/health")
        yield lambda: posting(port, lambda seed: ("/predict", json.dumps({"seed": seed}).encode()))


def sleep_ms(milliseconds: float) -> dict[str, bool]:
    """The work of one job on RQ's own worker."""
    time.sleep(milliseconds / 1e3)
    return {"done": True}


def _serve_batches(url: str, batch_ms: float) -> None:
    connection = Redis.from_url(url, socket_timeout=60)

    def handle(jobs: Sequence[ServedJob], _meanwhile: Callable[[], None]) -> list[Outcome]:
        time.sleep(batch_ms / 1e3)
        result = GenerateResult(seeds=(0,), width=28, height=28).model_dump(mode="json")
        return [Made(result, {"0": PICTURE})] * len(jobs)

    worker = BatchWorker(connection, Kind.GENERATE, MODEL, handle, MAX_BATCH, 0)
    with presence(Redis.from_url(url), worker.name, Kind.GENERATE, FACTS, "cpu"):
        worker.work(logging_level="ERROR")


def _serve_jobs(url: str) -> None:
    connection = Redis.from_url(url, socket_timeout=60)
    queue = Queue("stock", connection=connection, serializer="json")
    SimpleWorker([queue], connection=connection, serializer="json").work(logging_level="ERROR")


def posting(port: int, request: Callable[[int], tuple[str, bytes]]) -> Ask:
    """Requests on one connection of HTTP/1.1, as cheaply as can be: the clients share the service's cores."""
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(seed: int) -> None:
        nonlocal connection
        connection = connection or await asyncio.open_connection("127.0.0.1", port)
        reader, writer = connection
        path, body = request(seed)
        fields = ("Host: x", "Content-Type: application/json", f"Content-Length: {len(body)}")
        writer.write("\r\n".join((f"POST {path} HTTP/1.1", *fields, "", "")).encode() + body)
        status, *answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
        length = next(int(field[15:]) for field in answered if field.startswith("content-length:"))
        content = await reader.readexactly(length)
        if status.split()[1] != "200":
            raise RuntimeError(f"{status}: {content[:200]!r}")

    return ask


async def until_answers(port: int, path: str) -> None:
    """Return once a GET has succeeded."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            if b" 200 " in await reader.readline():
                writer.close()
                return
            writer.close()
        except OSError:
            pass
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{path} on port {port} does not answer")
        await asyncio.sleep(0.1)


@contextmanager
def _process(serve: Callable[..., None], *arguments: Any) -> Iterator[None]:
    process = get_context("spawn").Process(target=serve, args=arguments)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(20)


@contextmanager
def program(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A command while the block lasts, with all that it starts; its log goes nowhere."""
    log = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=log, stdout=log)
    try:
        yield process
    finally:
        # All of its group: LitServe's workers outlive it.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def free_port() -> int:
    """A loopback port that nobody had a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
