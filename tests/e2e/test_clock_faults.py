"""Laws of a worker whose clock jumps: it costs nobody a job, an attempt or the notice of a death. Real processes."""

import signal

from tests.e2e.fault_worker import JUMP_S
from tests.e2e.machine import until
from tests.e2e.scene import Scene
from worker.contract import JobState
from worker.leases import RENEWAL_S

# Both workers renew their leases, and look for the dead, while the batches of both run.
LONG_MS = int(2.5 * RENEWAL_S * 1e3)


def test_a_clock_that_jumps_ahead_in_a_batch_lets_no_job_run_twice(scene: Scene) -> None:
    jumper, _other = scene.worker(LONG_MS), scene.worker(LONG_MS)
    scene.await_workers(2)
    jobs = [scene.submit(seed) for seed in range(16)]
    until(lambda: scene.states(jobs)[JobState.RUNNING] > 8)
    jumper.send_signal(signal.SIGUSR1)
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 16}
    assert scene.runs() == dict.fromkeys(jobs, 1)


def test_a_worker_whose_clock_is_behind_from_the_beginning_lets_no_job_run_twice(scene: Scene) -> None:
    scene.worker(LONG_MS, clock_s=-JUMP_S), scene.worker(LONG_MS)
    scene.await_workers(2)
    jobs = [scene.submit(seed) for seed in range(16)]
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 16}
    assert scene.runs() == dict.fromkeys(jobs, 1)


def test_a_worker_that_dies_after_its_clock_jumped_ahead_is_noticed_like_any_other(scene: Scene) -> None:
    victim = scene.worker(4 * LONG_MS)
    jobs = [scene.submit(seed) for seed in range(8)]
    until(lambda: scene.running(jobs))
    victim.send_signal(signal.SIGUSR1)
    before = scene.leases()
    until(lambda: scene.leases() != before)
    victim.kill()
    scene.worker()
    assert scene.await_end(jobs) == {JobState.SUCCEEDED: 8}
