"""Laws of a queue that loses nothing: whatever dies, every job ends, once. Real Redis, real processes."""

import signal
import time
from dataclasses import replace

import pytest
from redis import Redis

from service.errors import RedisAway
from service.members import Leaver
from tests.e2e.fault_worker import ERROR, HANG, POISON
from tests.e2e.machine import STOP_TIMEOUT_S, until
from tests.e2e.scene import IN_TIME_S, Scene
from worker.contract import LEASE_S, JobState


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
    scene.queue = replace(scene.queue, job_timeout_s=3)
    hung = scene.worker()
    jobs = [scene.submit(seed) for seed in (1, HANG, 2)]
    until(lambda: hung.poll() is not None, IN_TIME_S)
    scene.queue.cancel(jobs[1], Leaver("ada"))
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
