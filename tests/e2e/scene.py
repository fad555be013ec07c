"""The scene of a fault: a queue on a Redis of its own, workers of known answers, an API.

Owns the processes, and what must be true of the jobs once all of them have ended. Knows no fault.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any, Self

import httpx
from redis import Redis

from service.admission import Limits
from service.errors import RedisAway
from service.job_queue import new_job_id
from service.tether import Start
from tests.blocking_queue import Blocking
from tests.e2e.fault_worker import MODEL, RUNS_KEY, TTL_S
from tests.e2e.machine import RedisServer, free_port, until
from worker.contract import LEASE_S, NEWS_STREAM, GenerateRequest, JobState, Kind, queue_name, workers_key

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_S = 20  # longer than any fault
IN_TIME_S = 4 * LEASE_S
BATCH_MS = 300
QUEUE = queue_name(Kind.GENERATE, MODEL)
# As many as there are queues and kinds of registry, however many jobs there were.
LASTING = {RUNS_KEY, "rq:queues", "rq:workers", f"rq:workers:{QUEUE}", f"rq:finished:{QUEUE}", f"rq:failed:{QUEUE}"}


@dataclass
class Scene:
    """A queue, its Redis, and processes that a supervisor would start again."""

    start: Start
    redis: RedisServer
    environment: Mapping[str, str]
    queue: Blocking
    connection: Redis
    port: int = field(default_factory=free_port)
    started: list[Popen[bytes]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def of(cls, redis: RedisServer, start: Start, environment: Mapping[str, str]) -> Iterator[Self]:
        """A scene with nobody in it; whoever enters is gone at the end of the block."""
        connection = Redis.from_url(redis.url)
        queue = Blocking(redis.url, Limits(max_queued=256, max_held_bytes=10**9, result_ttl_s=TTL_S), TIMEOUT_S)
        scene = cls(start, redis, environment, queue, connection)
        try:
            yield scene
        finally:
            for process in scene.started:
                process.kill()
                process.wait()
            connection.close()

    @property
    def url(self) -> str:
        """Where its API is, when there is one."""
        return f"http://127.0.0.1:{self.port}"

    def worker(self, batch_ms: int = BATCH_MS, clock_s: float = 0) -> Popen[bytes]:
        """One more worker; its clock is so far off."""
        arguments = (self.redis.url, str(batch_ms), str(clock_s))
        return self._run(sys.executable, "-m", "tests.e2e.fault_worker", *arguments)

    def await_workers(self, number: int) -> None:
        """Wait until so many show signs of life."""
        until(lambda: self.connection.zcard(workers_key(Kind.GENERATE, MODEL)) == number)

    def api(self) -> Popen[bytes]:
        """The API, from the moment on that it can take work."""
        arguments = ("api", "--port", str(self.port), "--models", MODEL)
        process = self._run(str(Path(sys.executable).with_name("tarflow")), *arguments)

        def ready() -> bool:
            assert process.poll() is None
            try:
                return httpx.get(f"{self.url}/readyz").is_success
            except httpx.TransportError:
                return False

        until(ready)
        return process

    def _run(self, *command: str) -> Popen[bytes]:
        self.started.append(self.start(command, cwd=REPOSITORY, env=self.environment))
        return self.started[-1]

    def submit(self, seed: int) -> str:
        """A job of one image."""
        request = GenerateRequest(
            model=MODEL, model_digest="d", class_index=-1, guidance=0, n=1, seed=seed, denoise=False,
            attention_temperature=1,
        )  # fmt: skip
        job_id: str = self.queue.submit(request, new_job_id())
        return job_id

    def jobs(self) -> list[str]:
        """Every job there is."""
        keys: Any = self.connection.scan_iter("rq:job:*")
        return [key.decode().removeprefix("rq:job:") for key in keys]

    def runs(self) -> dict[str, int]:
        """How many times each job was run."""
        counts: Any = self.connection.hgetall(RUNS_KEY)
        return {job.decode(): int(times) for job, times in counts.items()}

    def leases(self) -> dict[bytes, float]:
        """When the lease of each execution runs out."""
        entries: Any = self.connection.zrange(f"rq:wip:{QUEUE}", 0, -1, withscores=True)
        return dict(entries)

    def states(self, jobs: list[str]) -> Counter[JobState]:
        """How many jobs are where."""
        return Counter(self.queue.view(job).state for job in jobs)

    def running(self, jobs: list[str]) -> bool:
        """Whether any of them runs."""
        return JobState.RUNNING in self.states(jobs)

    def await_end(self, jobs: list[str]) -> Counter[JobState]:
        """Wait until every job has ended; Redis may be away meanwhile."""

        def ended() -> bool:
            try:
                return all(state.is_terminal for state in self.states(jobs))
            except RedisAway:
                return False

        until(ended, IN_TIME_S)
        self.assert_tidy(jobs)
        return self.states(jobs)

    def assert_tidy(self, jobs: list[str]) -> None:
        """There is no other job, each one's end was told once, nothing is in hand, and nothing stays for ever."""
        connection = self.connection
        until(lambda: not self.leases(), IN_TIME_S)
        assert sorted(self.jobs()) == sorted(jobs)
        news: Any = connection.xrange(NEWS_STREAM)
        ends = Counter(fields[b"job_id"].decode() for _, fields in news if fields[b"event"] == b"done")
        assert ends == dict.fromkeys(jobs, 1)
        assert [job for job in jobs if connection.xlen(f"rq:results:{job}") > 1] == []
        assert [connection.llen(f"rq:queue:{QUEUE}{which}") for which in ("", ":intermediate")] == [0, 0]
        assert {key.decode() for key in connection.scan_iter() if connection.ttl(key) == -1} <= LASTING
