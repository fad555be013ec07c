"""Laws of long jobs and lesser ones, which are let by between a long one's steps. Real Redis, real RQ."""

import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rq import Queue, Retry
from rq.job import Job, JobStatus

from tests.worker.conftest import QueueWork, reloaded
from worker.contract import LEASE_S, MAX_RETRIES, PASSES_FIELD, Kind, queue_name
from worker.intake import Intake
from worker.made import Made, Outcome
from worker.served_job import ServedJob

MOST = 8
STEPS = 3
Put = Callable[..., Job]


@pytest.fixture
def queue(connection: Redis) -> Queue:
    """The queue of scores."""
    return Queue(queue_name(Kind.SCORE, "tiny"), connection=connection, serializer="json", job_class=ServedJob)


@pytest.fixture
def put(queue: Queue) -> Put:
    """Queue a job of so many passes, as the service does."""

    def put(passes: int = 1, timeout_s: int = 60, **payload: Any) -> Job:
        retry = Retry(MAX_RETRIES, enqueue_at_front=True)
        job = queue.enqueue("score", payload, retry=retry, result_ttl=60, job_timeout=timeout_s)
        queue.connection.hset(job.key, PASSES_FIELD, passes)
        return job

    return put


class Steps:
    """A handler of several steps; `between` them it does what a test wants, and lets lesser jobs by."""

    def __init__(self, between: Callable[[int], object] = lambda _step: None) -> None:
        self.between = between
        self.ran: list[tuple[str, ...]] = []
        self.ended: list[str] = []

    def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
        """Answer every job with its id."""
        self.ran.append(tuple(job.id for job in jobs))
        for step in range(STEPS):
            if jobs[0].cost > MOST:
                self.between(step)
            meanwhile()
        self.ended += [job.id for job in jobs]
        return [Made({"id": job.id}) for job in jobs]


def do(work: QueueWork, steps: Steps) -> Any:
    """Work until all is done."""
    return work(steps, Kind.SCORE, max_cost=MOST, batches=True)


def states(*jobs: Job) -> list[JobStatus]:
    """Where the jobs are now."""
    return [reloaded(job).get_status() for job in jobs]


def test_a_lesser_job_that_comes_while_a_long_one_runs_is_done_before_it(put: Put, work: QueueWork) -> None:
    late: list[Job] = []
    long, steps = put(1000), Steps(lambda step: late.append(put()) if step == 0 else None)
    do(work, steps)
    assert steps.ended == [late[0].id, long.id]
    assert states(long, *late) == [JobStatus.FINISHED] * 2


def test_lesser_jobs_pass_the_long_ones_that_wait_before_them(put: Put, work: QueueWork) -> None:
    first, second, lesser, steps = put(1000), put(1000), put(2), Steps()
    do(work, steps)
    assert steps.ended == [lesser.id, first.id, second.id]


def test_long_jobs_do_not_pass_each_other(put: Put, work: QueueWork) -> None:
    jobs, steps = [put(1000 - index) for index in range(3)], Steps()
    do(work, steps)
    assert steps.ran == [(job.id,) for job in jobs]


def test_between_two_steps_no_more_is_let_by_than_a_batch_in_order(put: Put, work: QueueWork) -> None:
    long, lesser, steps = put(1000), [put(cost) for cost in (5, 5, 1, 8, 1)], Steps()
    do(work, steps)
    sizes = ((0, 1), (1, 3), (3, 4))
    assert steps.ran[1:4] == [tuple(job.id for job in lesser[first:last]) for first, last in sizes]
    assert steps.ended.index(long.id) < steps.ended.index(lesser[4].id)


def test_a_job_no_longer_than_a_batch_lets_nobody_by(put: Put, work: QueueWork) -> None:
    jobs, steps = [put(MOST) for _ in range(2)], Steps()
    do(work, steps)
    assert steps.ended == [job.id for job in jobs]


@pytest.mark.parametrize("suspect", [0, 1], ids=["the long one", "the lesser one"])
def test_a_job_that_cost_a_worker_its_life_runs_alone(
    suspect: int, put: Put, connection: Redis, work: QueueWork
) -> None:
    jobs, steps = (put(1000), put()), Steps()
    connection.hset(jobs[suspect].key, "retries_left", MAX_RETRIES - 1)
    do(work, steps)
    assert steps.ended == [job.id for job in jobs]


def test_a_worker_told_to_stop_lets_nobody_by(put: Put, queue: Queue, work: QueueWork) -> None:
    long, lesser = put(1000), put()
    worker = do(work, Steps(lambda step: signal.raise_signal(signal.SIGTERM) if step == 0 else None))
    assert worker.was_told_to_stop
    assert states(long, lesser) == [JobStatus.FINISHED, JobStatus.QUEUED]
    assert queue.connection.llen(queue.key) == 1


def test_the_error_of_a_job_that_was_let_by_is_its_own(put: Put, work: QueueWork) -> None:
    class Failing(Steps):
        def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
            if "bad" in jobs[0].args[0]:
                raise ZeroDivisionError
            return super().__call__(jobs, meanwhile)

    jobs = put(1000), put(bad=True)
    do(work, Failing())
    assert states(*jobs) == [JobStatus.FINISHED, JobStatus.FAILED]


def test_who_is_let_by_has_a_time_limit_of_his_own_and_the_long_one_keeps_its_rest(put: Put, work: QueueWork) -> None:
    left: dict[str, list[float]] = {}

    class Timed(Steps):
        def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
            left[jobs[0].id] = [signal.getitimer(signal.ITIMER_REAL)[0]]
            outcomes = super().__call__(jobs, meanwhile)
            left[jobs[0].id].append(signal.getitimer(signal.ITIMER_REAL)[0])
            return outcomes

    long, lesser = put(1000, timeout_s=1000), put(timeout_s=100)
    do(work, Timed())
    assert all(100 < each <= 1000 for each in left[long.id])
    assert left[long.id][1] < left[long.id][0]
    assert all(0 < each <= 100 for each in left[lesser.id])
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_long_job_still_runs_into_its_time_limit_after_it_let_others_by(put: Put, work: QueueWork) -> None:
    def hang(step: int) -> None:
        if step == STEPS - 1:
            signal.pause()

    long, lesser = put(1000, timeout_s=1), put()
    do(work, Steps(hang))
    assert states(long, lesser) == [JobStatus.FAILED, JobStatus.FINISHED]
    assert reloaded(long).meta["failure_reason"] == "timeout"


def test_who_runs_into_his_time_limit_while_he_is_let_by_takes_nobody_along(put: Put, work: QueueWork) -> None:
    class Hanging(Steps):
        def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
            if jobs[0].cost == 1:
                signal.pause()
            return super().__call__(jobs, meanwhile)

    long, lesser = put(1000), put(timeout_s=1)
    do(work, Hanging())
    assert states(long, lesser) == [JobStatus.FINISHED, JobStatus.FAILED]


def test_the_leases_of_both_are_renewed_while_one_stands_still(
    put: Put, connection: Redis, queue: Queue, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.leases.RENEWAL_S", 0.01)

    class Outliving(Steps):
        def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
            if jobs[0].cost == 1:
                outlive(connection, queue, count=2)
            return super().__call__(jobs, meanwhile)

    jobs = put(1000), put()
    do(work, Outliving())
    assert states(*jobs) == [JobStatus.FINISHED] * 2


def test_while_redis_is_away_nobody_is_let_by_and_the_long_one_goes_on(
    put: Put, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_intake: Intake) -> list[str]:
        raise RedisConnectionError

    jobs, steps = (put(1000), put()), Steps()
    monkeypatch.setattr(Intake, "pop_lesser", away)
    do(work, steps)
    assert steps.ran == [(job.id,) for job in jobs]


def outlive(connection: Redis, queue: Queue, count: int) -> None:
    """Wait until every lease, there are so many, is renewed beyond its end."""
    registry = queue.started_job_registry.key
    entries: Any = connection.zrange(registry, 0, -1)
    assert len(entries) == count
    ends_s = time.time() + LEASE_S / 15
    connection.zadd(registry, dict.fromkeys(entries, ends_s))
    deadline_s = time.monotonic() + 20
    while min(connection.zscore(registry, entry) or 0 for entry in entries) <= ends_s:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
