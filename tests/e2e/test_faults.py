"""Laws of a queue that loses nothing: whatever dies, every job ends, once. Real Redis, real processes."""

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from redis import Redis

from service.admission import Admission, Limits
from service.cancellation import Cancellation
from service.errors import RedisAway
from service.job_queue import JobQueue, new_job_id
from service.redis_clients import RedisClients
from service.tether import Start, tether
from tests.e2e.conftest import STOP_TIMEOUT_S, RedisServer, until
from tests.e2e.fault_worker import ERROR, HANG, MODEL, POISON
from worker.contract import LEASE_S, NEWS_STREAM, GenerateRequest, JobState

REPOSITORY = Path(__file__).parents[2]
TTL_S = 300
TIMEOUT_S = 20  # longer than any fault but a hang
IN_TIME_S = 4 * LEASE_S
BATCH_MS = 300


@dataclass
class Scene:
    """A queue, its Redis, and workers that a supervisor would start again."""

    start: Start
    redis: RedisServer
    queue: JobQueue
    started: list[Popen[bytes]] = field(default_factory=list)

    def worker(self, batch_ms: int = BATCH_MS) -> Popen[bytes]:
        """One more worker."""
        command = (sys.executable, "-m", "tests.e2e.fault_worker", self.redis.url, str(batch_ms))
        self.started.append(self.start(command, cwd=REPOSITORY))
        return self.started[-1]

    def submit(self, seed: int) -> str:
        """A job of one image."""
        request = GenerateRequest(
            model=MODEL, model_digest="d", class_index=-1, guidance=0, n=1, seed=seed, denoise=False,
            attention_temperature=1,
        )  # fmt: skip
        return self.queue.submit(request, new_job_id())

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
        """Each job's end was told once, nothing is in hand, and nothing stays for ever."""
        connection = self.queue.connection
        until(lambda: not connection.zcard(f"rq:wip:tarflow:generate:{MODEL}"), IN_TIME_S)
        news: Any = connection.xrange(NEWS_STREAM)
        ends = Counter(fields[b"job_id"].decode() for _, fields in news if fields[b"event"] == b"done")
        assert {job: ends[job] for job in jobs} == dict.fromkeys(jobs, 1)
        assert connection.llen(f"rq:queue:tarflow:generate:{MODEL}:intermediate") == 0
        kept = [key.decode() for key in connection.scan_iter() if connection.ttl(key) == -1]
        assert [key for key in kept if any(job in key for job in jobs)] == []


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Nothing yet but Redis."""
    with tether() as start:
        server = RedisServer(start, tmp_path)
        server.start()
        connection = RedisClients.connect(server.url).blocking
        admission = Admission(connection, Limits(max_queued=256, max_held_bytes=10**9, result_ttl_s=TTL_S))
        scene = Scene(start, server, JobQueue(connection, admission, Cancellation(connection, TTL_S), TIMEOUT_S))
        yield scene
        for worker in scene.started:
            worker.kill()
            worker.wait()
        connection.close()
        server.stop()


def test_a_worker_killed_in_a_batch_costs_nothing_but_time(scene: Scene) -> None:
    victim = scene.worker(batch_ms=3000)
    jobs = [scene.submit(seed) for seed in range(12)]
    until(lambda: scene.running(jobs))
    victim.kill()
    scene.worker()
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 12}


def test_every_worker_killed_in_turn_under_load_costs_nothing_but_time(scene: Scene) -> None:
    workers = [scene.worker() for _ in range(2)]
    jobs = [scene.submit(seed) for seed in range(20)]
    for _ in range(2):
        for index, worker in enumerate(workers):
            until(lambda jobs=jobs: scene.running(jobs))  # type: ignore[misc]
            worker.kill()
            workers[index] = scene.worker()
            jobs += [scene.submit(100 * len(jobs) + seed) for seed in range(5)]
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: len(jobs)}


def test_a_poisonous_job_fails_clearly_and_takes_nobody_along(scene: Scene) -> None:
    jobs = [scene.submit(seed) for seed in (1, 2, POISON, 3, 4)]
    worker = scene.worker()

    def alive_and_ended() -> bool:
        nonlocal worker
        if worker.poll() is not None:
            worker = scene.worker()
        return all(state.is_terminal for state in scene.states(jobs).elements())

    until(alive_and_ended, 5 * LEASE_S)
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 4, JobState.FAILED: 1}


def test_a_batch_that_hangs_ends_its_process_and_the_others_are_done(scene: Scene) -> None:
    hung = scene.worker()
    jobs = [scene.submit(seed) for seed in (1, HANG, 2)]
    until(lambda: hung.poll() is not None, IN_TIME_S)
    scene.queue.cancel(jobs[1])
    scene.worker()
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 2, JobState.CANCELLED: 1}


def test_errors_are_final_and_each_its_own(scene: Scene) -> None:
    scene.worker()
    jobs = [scene.submit(seed) for seed in (1, ERROR, 2)]
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 2, JobState.FAILED: 1}


def test_a_redis_restarted_in_a_batch_costs_nothing(scene: Scene) -> None:
    scene.worker(batch_ms=1000)
    jobs = [scene.submit(seed) for seed in range(12)]
    until(lambda: scene.running(jobs))
    scene.redis.stop()
    scene.redis.start()
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 12}


def test_a_redis_that_stands_still_for_12_s_costs_nothing(scene: Scene) -> None:
    scene.worker()
    jobs = [scene.submit(seed) for seed in range(30)]
    until(lambda: scene.running(jobs))
    assert scene.redis.process is not None
    scene.redis.process.send_signal(signal.SIGSTOP)
    time.sleep(12)  # The fault itself: there is no event to await.
    scene.redis.process.send_signal(signal.SIGCONT)
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 30}


def test_a_full_redis_refuses_and_loses_nothing(scene: Scene) -> None:
    scene.worker(batch_ms=1000)
    jobs = [scene.submit(seed) for seed in range(16)]
    until(lambda: scene.running(jobs))
    with Redis.from_url(scene.redis.url) as admin:
        admin.config_set("maxmemory", 1)
        with pytest.raises(RedisAway):
            scene.submit(100)
        time.sleep(2)  # The fault itself, long enough for a batch to end in it.
        admin.config_set("maxmemory", 0)
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 16}


def test_a_worker_told_to_stop_in_a_batch_ends_it_and_leaves_the_rest(scene: Scene) -> None:
    worker = scene.worker(batch_ms=1000)
    jobs = [scene.submit(seed) for seed in range(12)]
    until(lambda: scene.running(jobs))
    worker.terminate()
    assert worker.wait(STOP_TIMEOUT_S) == 0
    assert scene.states(jobs) == {JobState.SUCCEEDED: 8, JobState.QUEUED: 4}
    scene.worker()
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 12}
