"""Laws of the janitor: whom it takes a job from, and whom it leaves in peace. Real Redis."""

from typing import Any

import pytest
from rq import Queue, Retry
from rq.job import Job, JobStatus

from tests.worker.conftest import reloaded
from worker.contract import LEASE_S, MAX_RETRIES
from worker.intake import Intake
from worker.janitor import LOOKED_TTL_S, SILENCE_S, Janitor
from worker.leases import RENEWAL_S


@pytest.fixture
def job(queue: Queue) -> Job:
    """A job that a worker has just begun."""
    job = queue.enqueue("generate", {}, retry=Retry(MAX_RETRIES, enqueue_at_front=True), result_ttl=60)
    take(queue)
    return job


@pytest.fixture
def janitor(queue: Queue) -> Janitor:
    """One that has looked just now."""
    janitor = Janitor(queue.connection, queue)
    janitor.tidy()
    return janitor


def take(queue: Queue) -> None:
    """Begin the next job, as a worker does."""
    intake = Intake(queue, max_cost=1, window_s=0)
    assert intake.claim(intake.pop(wait=False), "a worker").jobs


def entry(queue: Queue) -> str:
    """The only lease."""
    found: Any = queue.connection.zrange(queue.started_job_registry.key, 0, -1)
    (only,) = found
    return str(only.decode())


def now_s(queue: Queue) -> float:
    """The time by Redis."""
    return float(queue.connection.time()[0])


def let_pass(queue: Queue, passed_s: float) -> None:
    """Put all that Redis noted so long ago."""
    registry, looked = queue.started_job_registry.key, f"tarflow:looked:{queue.name}"
    queue.connection.zincrby(registry, -passed_s, entry(queue))
    queue.connection.set(looked, float(queue.connection.get(looked) or 0) - passed_s)


def test_a_redis_that_was_away_for_longer_than_a_lease_costs_no_job_an_attempt(
    queue: Queue, job: Job, janitor: Janitor
) -> None:
    let_pass(queue, 10 * LEASE_S)
    janitor.tidy()
    assert reloaded(job).get_status() is JobStatus.STARTED
    assert reloaded(job).retries_left == MAX_RETRIES


def test_after_a_silence_a_worker_has_a_whole_lease_to_come_back_in(queue: Queue, job: Job, janitor: Janitor) -> None:
    let_pass(queue, 10 * LEASE_S)
    janitor.tidy()
    ends_s = queue.connection.zscore(queue.started_job_registry.key, entry(queue))
    assert ends_s == pytest.approx(now_s(queue) + LEASE_S, abs=2)
    assert reloaded(job).get_status() is JobStatus.STARTED


def test_a_lease_that_has_not_run_out_in_a_silence_is_made_up_for_too(queue: Queue, job: Job, janitor: Janitor) -> None:
    let_pass(queue, SILENCE_S + 1)
    janitor.tidy()
    ends_s = queue.connection.zscore(queue.started_job_registry.key, entry(queue))
    assert ends_s == pytest.approx(now_s(queue) + LEASE_S, abs=2)
    assert reloaded(job).get_status() is JobStatus.STARTED


def test_who_does_not_come_back_after_a_silence_loses_his_job(queue: Queue, job: Job, janitor: Janitor) -> None:
    let_pass(queue, 10 * LEASE_S)
    for _ in range(round(LEASE_S / RENEWAL_S)):
        janitor.tidy()
        assert reloaded(job).get_status() is JobStatus.STARTED
        let_pass(queue, RENEWAL_S)
    janitor.tidy()
    assert reloaded(job).get_status() is JobStatus.QUEUED


@pytest.mark.parametrize("silence_s", [0, 10 * LEASE_S])
def test_a_lease_that_was_ended_on_purpose_is_no_lease_whatever_the_silence(
    queue: Queue, job: Job, janitor: Janitor, silence_s: float
) -> None:
    let_pass(queue, silence_s)
    queue.connection.zadd(queue.started_job_registry.key, {entry(queue): 1})
    janitor.tidy()
    assert reloaded(job).get_status() is JobStatus.QUEUED


def test_a_lease_that_ran_out_while_somebody_looked_is_nobody_s(queue: Queue, job: Job, janitor: Janitor) -> None:
    queue.connection.zadd(queue.started_job_registry.key, {entry(queue): now_s(queue) - 1})
    janitor.tidy()
    assert reloaded(job).get_status() is JobStatus.QUEUED


def test_the_time_of_the_last_look_is_not_kept_for_ever(queue: Queue, janitor: Janitor) -> None:
    janitor.tidy()
    assert 0 < queue.connection.ttl(f"tarflow:looked:{queue.name}") <= LOOKED_TTL_S


def test_a_slow_janitor_leaves_a_job_to_who_got_it_meanwhile(queue: Queue, job: Job, janitor: Janitor) -> None:
    lost, registry = entry(queue), queue.started_job_registry.key
    queue.connection.zadd(registry, {lost: 1})
    janitor.tidy()
    take(queue)
    janitor._reclaim(job.id, registry, lost, now_s(queue))
    assert reloaded(job).get_status() is JobStatus.STARTED
    assert reloaded(job).retries_left == MAX_RETRIES - 1
    assert entry(queue) != lost
