"""Laws of a batching worker: who shares a batch, whose failure is whose, and who may end a job. Real Redis, real RQ."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from redis import Redis
from rq import Queue, Retry
from rq.job import Job, JobStatus

from tests.worker.conftest import QueueWork, one_by_one, reloaded
from worker.attendant import Duty
from worker.contract import (
    CANCEL_FIELD,
    HELD_BYTES_KEY,
    HELD_KEY,
    IMAGES_FIELD,
    LEASE_S,
    MAX_RETRIES,
    NEWS_STREAM,
    FailureReason,
    pictures_key,
)
from worker.errors import JobError
from worker.intake import Intake
from worker.janitor import POPPED_GRACE_S, Janitor
from worker.made import Made, Outcome
from worker.served_job import ServedJob

Put = Callable[..., Job]
Batches = list[list[str]]


@pytest.fixture
def put(queue: Queue) -> Put:
    """Queue a job of so many images, as the service does."""

    def put(images: int = 1, **payload: Any) -> Job:
        job = queue.enqueue("generate", payload, retry=Retry(MAX_RETRIES, enqueue_at_front=True), result_ttl=60)
        queue.connection.hset(job.key, IMAGES_FIELD, images)
        return job

    return put


class Record:
    """A handler that remembers its batches; a job of payload `bad` breaks whatever batch it is in."""

    def __init__(self) -> None:
        self.batches: Batches = []

    def __call__(self, jobs: Sequence[ServedJob], _meanwhile: Callable[[], None]) -> list[Outcome]:
        """Answer every job with its id."""
        self.batches.append([job.id for job in jobs])
        if any("bad" in job.args[0] for job in jobs):
            raise ZeroDivisionError
        return [Made({"id": job.id}) for job in jobs]


def states(*jobs: Job) -> list[JobStatus]:
    """Where the jobs are now."""
    return [reloaded(job).get_status() for job in jobs]


def ends_told(connection: Redis) -> list[str]:
    """The ids of ended jobs in the news, in order."""
    news: Any = connection.xrange(NEWS_STREAM)
    return [fields[b"job_id"].decode() for _, fields in news if fields[b"event"] == b"done"]


def leases(queue: Queue) -> list[bytes]:
    """The entries of the running jobs."""
    found: Any = queue.connection.zrange(queue.started_job_registry.key, 0, -1)
    return list(found)


def left_over(queue: Queue) -> dict[str, int]:
    """What a worker that is done must not leave behind."""
    connection = queue.connection
    return {
        "queued": connection.llen(queue.key),
        "popped": connection.llen(queue.intermediate_queue_key),
        "running": connection.zcard(queue.started_job_registry.key),
        "executions": len(list(connection.scan_iter("rq:execution:*"))),
    }


NOTHING = {"queued": 0, "popped": 0, "running": 0, "executions": 0}


def test_jobs_that_wait_share_a_batch(put: Put, queue: Queue, work: QueueWork) -> None:
    jobs, record = [put() for _ in range(5)], Record()
    work(record, max_cost=8, batches=True)
    assert record.batches == [[job.id for job in jobs]]
    assert [reloaded(job).return_value() for job in jobs] == [{"id": job.id} for job in jobs]
    assert left_over(queue) == NOTHING


def test_a_batch_is_bounded_in_images_and_keeps_the_order(put: Put, work: QueueWork) -> None:
    jobs, record = [put(images) for images in (3, 3, 3, 1, 8, 1)], Record()
    work(record, max_cost=8, batches=True)
    assert record.batches == [[job.id for job in jobs[first:last]] for first, last in ((0, 2), (2, 4), (4, 5), (5, 6))]


def test_a_job_larger_than_a_batch_runs_alone(put: Put, work: QueueWork) -> None:
    jobs, record = [put(16), put(1)], Record()
    work(record, max_cost=8, batches=True)
    assert record.batches == [[jobs[0].id], [jobs[1].id]]


def test_one_job_s_error_is_its_own(put: Put, queue: Queue, work: QueueWork) -> None:
    def second_fails(job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        if job.id == jobs[1].id:
            raise JobError("alone")
        return {}

    jobs = [put() for _ in range(3)]
    work(second_fails, max_cost=8)
    assert states(*jobs) == [JobStatus.FINISHED, JobStatus.FAILED, JobStatus.FINISHED]
    assert left_over(queue) == NOTHING


def test_a_batch_that_breaks_is_run_job_by_job_to_find_the_culprit(put: Put, work: QueueWork) -> None:
    jobs, record = [put(), put(bad=True), put()], Record()
    work(record, max_cost=8, batches=True)
    assert record.batches == [[job.id for job in jobs], *([job.id] for job in jobs)]
    assert states(*jobs) == [JobStatus.FINISHED, JobStatus.FAILED, JobStatus.FINISHED]


def test_an_error_is_not_tried_again(put: Put, work: QueueWork) -> None:
    job, record = put(bad=True), Record()
    work(record, batches=True)
    assert record.batches == [[job.id]]


def test_a_job_that_cost_a_worker_its_life_runs_alone(put: Put, connection: Redis, work: QueueWork) -> None:
    jobs, record = [put() for _ in range(4)], Record()
    connection.hset(jobs[1].key, "retries_left", MAX_RETRIES - 1)
    work(record, max_cost=8, batches=True)
    assert [jobs[1].id] in record.batches
    assert sorted(job_id for batch in record.batches for job_id in batch) == sorted(job.id for job in jobs)


def test_a_job_cancelled_while_it_was_popped_is_not_run(put: Put, queue: Queue, work: QueueWork) -> None:
    job, record = put(), Record()
    intake = Intake(queue, max_cost=8, window_s=0)
    popped = intake.pop(wait=False)
    queue.connection.hset(job.key, "status", "canceled")
    assert intake.claim(popped, "worker").jobs == ()
    work(record, batches=True)
    assert (record.batches, left_over(queue)) == ([], NOTHING)


def test_a_job_that_expired_in_the_queue_is_passed_over(put: Put, queue: Queue, work: QueueWork) -> None:
    gone, job, record = put(), put(), Record()
    queue.connection.delete(gone.key)
    work(record, max_cost=8, batches=True)
    assert (record.batches, left_over(queue)) == ([[job.id]], NOTHING)


def test_a_job_asked_to_stop_while_it_ran_ends_cancelled_and_announced(
    put: Put, connection: Redis, work: QueueWork
) -> None:
    def be_cancelled(job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        connection.hset(job.key, CANCEL_FIELD, 1)
        return {"made": True}

    job = put()
    work(be_cancelled)
    assert states(job) == [JobStatus.CANCELED]
    assert reloaded(job).latest_result() is None
    assert ends_told(connection) == [job.id]
    assert connection.ttl(job.key) > 0


def test_a_worker_that_lost_its_lease_drops_its_result(put: Put, queue: Queue, work: QueueWork) -> None:
    turns: list[int] = []

    def be_slow(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        turns.append(len(turns))
        if len(turns) == 1:  # As if this worker had stood still for longer than its lease.
            _end_leases(queue)
            Janitor(queue.connection, queue).tidy()
        return {"turn": turns[-1]}

    job = put()
    work(be_slow)
    assert reloaded(job).return_value() == {"turn": 1}
    assert ends_told(queue.connection) == [job.id]
    assert left_over(queue) == NOTHING


def test_a_worker_that_lost_its_lease_keeps_nothing_of_what_it_made(
    put: Put, queue: Queue, work: QueueWork, connection: Redis
) -> None:
    def be_slow(jobs: Sequence[ServedJob], _meanwhile: Callable[[], None]) -> list[Outcome]:
        _end_leases(queue)
        Janitor(connection, queue).tidy()
        connection.delete(queue.key)
        return [Made({}, {"0": b"PNG"}) for _ in jobs]

    job = put()
    work(be_slow, batches=True)
    assert states(job) == [JobStatus.QUEUED]
    assert not connection.exists(pictures_key(job.id), HELD_KEY, HELD_BYTES_KEY)


def test_a_job_whose_batch_broke_has_waited_once(put: Put, work: QueueWork) -> None:
    for payload in ({}, {"bad": True}, {}):
        put(**payload)
    worker = work(Record(), max_cost=8, batches=True)
    assert isinstance(worker.attendant, Duty)
    labels = {"model": "tiny", "kind": "generate"}
    assert worker.attendant.metrics.registry.get_sample_value("tarflow_job_wait_seconds_count", labels) == 3


def test_a_dead_worker_s_job_is_queued_again_when_its_lease_ends(put: Put, queue: Queue) -> None:
    job = put()
    _die_over(queue)
    Janitor(queue.connection, queue).tidy()
    assert states(job) == [JobStatus.STARTED]
    _end_leases(queue)
    Janitor(queue.connection, queue).tidy()
    assert states(job) == [JobStatus.QUEUED]
    assert queue.connection.lrange(queue.key, 0, -1) == [job.id.encode()]
    assert reloaded(job).retries_left == MAX_RETRIES - 1


def test_a_job_over_which_every_worker_dies_fails_clearly(put: Put, queue: Queue) -> None:
    job = put()
    for _ in range(1 + MAX_RETRIES):
        assert states(job) == [JobStatus.QUEUED]
        _die_over(queue)
        _end_leases(queue)
        Janitor(queue.connection, queue).tidy()
    assert states(job) == [JobStatus.FAILED]
    assert reloaded(job).meta["failure_reason"] == FailureReason.ABANDONED
    assert ends_told(queue.connection) == [job.id]
    assert left_over(queue) == NOTHING


def test_a_job_that_was_popped_and_never_started_is_queued_again(put: Put, queue: Queue) -> None:
    job, janitor = put(), Janitor(queue.connection, queue)
    Intake(queue, max_cost=1, window_s=0).pop(wait=False)
    janitor.tidy()
    assert left_over(queue) == NOTHING | {"popped": 1}
    queue.connection.hset(f"tarflow:popped:{queue.name}", job.id, time.time() - POPPED_GRACE_S - 1)
    janitor.tidy()
    assert left_over(queue) == NOTHING | {"queued": 1}
    assert states(job) == [JobStatus.QUEUED]


def test_a_lease_is_renewed_while_its_job_runs(
    put: Put, connection: Redis, queue: Queue, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.leases.RENEWAL_S", 0.01)

    def outlive(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        (entry,) = leases(queue)
        ends_s = time.time() + 1
        connection.zadd(queue.started_job_registry.key, {entry: ends_s})
        deadline_s = time.monotonic() + 20
        while (connection.zscore(queue.started_job_registry.key, entry) or 0) <= ends_s:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        return {}

    job = put()
    work(outlive)
    assert states(job) == [JobStatus.FINISHED]


def test_a_worker_told_to_stop_ends_its_batch_and_leaves_the_rest(put: Put, queue: Queue, work: QueueWork) -> None:
    def be_told(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    jobs = [put() for _ in range(3)]
    worker = work(be_told, max_cost=2)
    assert worker.was_told_to_stop
    assert states(*jobs) == [JobStatus.FINISHED, JobStatus.FINISHED, JobStatus.QUEUED]
    assert left_over(queue) == NOTHING | {"queued": 1}


def test_nothing_of_a_finished_job_stays_for_ever(put: Put, connection: Redis, work: QueueWork) -> None:
    job = put()
    work(one_by_one(lambda _job, _payload: {}), batches=True)
    assert connection.ttl(job.key) > 0
    assert [key for key in connection.scan_iter(f"*{job.id}*") if connection.ttl(key) < 0] == []


def _die_over(queue: Queue) -> None:
    """Take a job as a worker does, and do nothing more."""
    intake = Intake(queue, max_cost=1, window_s=0)
    batch = intake.claim(intake.pop(wait=False), "a worker that dies")
    assert len(batch.jobs) == 1


def _end_leases(queue: Queue) -> None:
    """Let LEASE_S seconds pass, as far as the leases know."""
    registry = queue.started_job_registry.key
    for entry in leases(queue):
        assert (queue.connection.zscore(registry, entry) or 0) > time.time() + LEASE_S / 2
        queue.connection.zadd(registry, {entry: 1})
