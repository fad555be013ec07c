"""What the queue costs: our batching worker beside one job per request on RQ's own, with an engine of known time.

Owns the load, the clock and the table. The engine sleeps, so that whatever else takes time is the queue's.
Knows nothing of HTTP.

    python -m benchmarks.queue [--clients 1 8 64] [--seconds 5] [--json FILE]
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job, JobStatus

from service.admission import Admission, Limits
from service.cancellation import Cancellation
from service.embedded_redis import embedded_redis
from service.job_queue import JobQueue, new_job_id
from worker.batch_worker import BatchWorker, Outcome
from worker.contract import NEWS_STREAM, GenerateRequest, Kind
from worker.served_job import ServedJob

MODEL = "known"
MAX_BATCH = 32
COLUMNS = "worker        batch ms  clients  requests/s   p50 ms   p95 ms   p99 ms"


@dataclass(frozen=True)
class Load:
    """What one worker did under so many clients, each with one request at a time."""

    worker: str
    batch_ms: float
    clients: int
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    def line(self) -> str:
        """The load as a row of the table."""
        return (
            f"{self.worker:<12}  {self.batch_ms:>8g}  {self.clients:>7}  {self.requests_per_s:>10.1f}"
            f"  {self.p50_ms:>7.1f}  {self.p95_ms:>7.1f}  {self.p99_ms:>7.1f}"
        )


def sleep_ms(milliseconds: float) -> dict[str, bool]:
    """The work of one job on RQ's own worker."""
    time.sleep(milliseconds / 1e3)
    return {"done": True}


def serve_batches(url: str, batch_ms: float) -> None:
    """Our worker with an engine that takes `batch_ms` for a batch of any size."""

    def handle(jobs: Sequence[ServedJob]) -> list[Outcome]:
        time.sleep(batch_ms / 1e3)
        return [{"done": True}] * len(jobs)

    connection = Redis.from_url(url, socket_timeout=60)
    BatchWorker(connection, Kind.GENERATE, MODEL, handle, MAX_BATCH, 0).work(logging_level="ERROR")


def serve_jobs(url: str, _batch_ms: float) -> None:
    """RQ's in-process worker."""
    connection = Redis.from_url(url, socket_timeout=60)
    queue = Queue("stock", connection=connection, serializer="json")
    SimpleWorker([queue], connection=connection, serializer="json").work(logging_level="ERROR")


def ask_ours(connection: Redis, seed: int, _batch_ms: float) -> Job:
    """Queue a request as the service does."""
    admission = Admission(connection, Limits(max_queued=4096, max_held_bytes=2**40, result_ttl_s=60))
    queue = JobQueue(connection, admission, Cancellation(connection, 60), 60)
    request = GenerateRequest(
        model=MODEL,
        model_digest="d",
        class_index=-1,
        guidance=0,
        n=1,
        seed=seed,
        denoise=False,
        attention_temperature=1,
    )
    return Job(queue.submit(request, new_job_id()), connection=connection, serializer="json")


def ask_stock(connection: Redis, _seed: int, batch_ms: float) -> Job:
    """Queue a job as RQ's manual does."""
    queue = Queue("stock", connection=connection, serializer="json")
    return queue.enqueue("benchmarks.queue.sleep_ms", batch_ms, result_ttl=60)


# How a worker is started, how it is asked, and how often a client looks for itself, which ours need not.
WAYS: dict[str, tuple[Callable[[str, float], None], Callable[[Redis, int, float], Job], float]] = {
    "ours": (serve_batches, ask_ours, 1.0),
    "SimpleWorker": (serve_jobs, ask_stock, 0.002),
}


@contextmanager
def worker(serve: Callable[[str, float], None], url: str, batch_ms: float) -> Iterator[None]:
    """A worker process while the block lasts."""
    process = get_context("spawn").Process(target=serve, args=(url, batch_ms))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join(20)


@dataclass
class Ends:
    """Tells clients that their jobs have ended, from one read of the news; jobs of RQ's own are looked at."""

    connection: Redis
    events: dict[str, threading.Event] = field(default_factory=lambda: defaultdict(threading.Event))
    stopped: bool = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read the news while the block lasts."""
        thread = threading.Thread(target=self._read)
        thread.start()
        try:
            yield
        finally:
            self.stopped = True
            thread.join()

    def wait(self, job: Job, poll_s: float) -> None:
        """Return once the job has ended."""
        while not self.events[job.id].wait(poll_s):
            if job.get_status() == JobStatus.FINISHED:
                return

    def _read(self) -> None:
        after: Any = "0-0"
        while not self.stopped:
            answer: Any = self.connection.xread({NEWS_STREAM: after}, block=200)
            for _, entries in answer or ():
                after = entries[-1][0]
                for _, fields in entries:
                    if fields[b"event"] == b"done":
                        self.events[fields[b"job_id"].decode()].set()


def measure(name: str, url: str, batch_ms: float, clients: int, seconds: float) -> Load:
    """Keep `clients` requests in flight for `seconds`, after one to warm up."""
    serve, ask, poll_s = WAYS[name]
    times: list[float] = []
    redis = Redis.from_url(url, socket_timeout=60, max_connections=clients + 4)
    ends = Ends(redis)

    def once(seed: int) -> float:
        started_s = time.perf_counter()
        ends.wait(ask(redis, seed, batch_ms), poll_s)
        return (time.perf_counter() - started_s) * 1e3

    def client(index: int) -> None:
        seed = 1 + index * 1_000_000
        while time.perf_counter() < stop_s:
            times.append(once(seed))
            seed += 1

    with worker(serve, url, batch_ms), ends.reading():
        once(0)
        stop_s = time.perf_counter() + seconds
        threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    redis.flushdb()
    redis.close()
    cuts = statistics.quantiles(times, n=100)
    return Load(name, batch_ms, clients, len(times) / seconds, cuts[49], cuts[94], cuts[98])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every worker, batch time and number of clients, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description="Time the queue.")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64], help="requests in flight")
    parser.add_argument("--batch-ms", type=float, nargs="+", default=[0.0, 20.0], help="time of a batch")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, batches of up to {MAX_BATCH}")
    print(COLUMNS)
    loads = []
    with embedded_redis() as url:
        for batch_ms in parsed.batch_ms:
            for clients in parsed.clients:
                for name in WAYS:
                    loads.append(measure(name, url, batch_ms, clients, parsed.seconds))
                    print(loads[-1].line(), flush=True)
    if parsed.json:
        parsed.json.write_text(json.dumps([asdict(load) for load in loads], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
