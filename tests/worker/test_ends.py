"""Laws of what the end of a job lets go, however it ends, and of what a job that begins again keeps. Real Redis."""

from collections.abc import Callable
from typing import Any

import pytest
from rq import Queue, Retry
from rq.job import Job, JobStatus

from tests.worker.conftest import QueueWork, reloaded
from worker.contract import (
    CANCEL_FIELD,
    ENDED_EVENTS_TTL_S,
    EVENTS_TTL_S,
    MAX_RETRIES,
    events_key,
    input_key,
)
from worker.errors import JobError
from worker.intake import Intake
from worker.janitor import Janitor
from worker.served_job import ServedJob

Ending = Callable[[QueueWork, Queue], None]


def succeed(work: QueueWork, _queue: Queue) -> None:
    """Let the job have a result."""
    work(lambda _job, _payload: {})


def fail(work: QueueWork, _queue: Queue) -> None:
    """Let the job fail."""

    def raise_error(_job: ServedJob, _payload: object) -> dict[str, object]:
        raise JobError("as known")

    work(raise_error)


def be_cancelled(work: QueueWork, queue: Queue) -> None:
    """Let the job be cancelled while it runs."""

    def ask(job: ServedJob, _payload: object) -> dict[str, object]:
        queue.connection.hset(job.key, CANCEL_FIELD, 1)
        return {}

    work(ask)


def be_abandoned(_work: QueueWork, queue: Queue) -> None:
    """Let every worker die over the job."""
    for _ in range(1 + MAX_RETRIES):
        die_over(queue)


ENDS: dict[str, tuple[Ending, JobStatus]] = {
    "succeeded": (succeed, JobStatus.FINISHED),
    "failed": (fail, JobStatus.FAILED),
    "cancelled": (be_cancelled, JobStatus.CANCELED),
    "abandoned": (be_abandoned, JobStatus.FAILED),
}


@pytest.fixture
def job(queue: Queue) -> Job:
    """A queued job with pixels, as the service queues a score."""
    job = queue.enqueue("generate", {}, retry=Retry(MAX_RETRIES, enqueue_at_front=True), result_ttl=60)
    queue.connection.set(input_key(job.id), b"pixels", ex=EVENTS_TTL_S)
    return job


def die_over(queue: Queue) -> None:
    """Take a job as a worker does, do nothing more, and let the lease end."""
    intake = Intake(queue, max_cost=1, window_s=0)
    assert intake.claim(intake.pop(wait=False), "a worker that dies").jobs
    registry = queue.started_job_registry.key
    entries: Any = queue.connection.zrange(registry, 0, -1)
    for entry in entries:
        queue.connection.zadd(registry, {entry: 1})
    Janitor(queue.connection, queue).tidy()


@pytest.mark.parametrize("end", ENDS)
def test_the_events_of_a_job_that_has_ended_last_as_long_as_somebody_may_come_back_for_them(
    queue: Queue, job: Job, work: QueueWork, end: str
) -> None:
    ending, status = ENDS[end]
    ending(work, queue)
    assert reloaded(job).get_status() is status
    assert 0 < queue.connection.ttl(events_key(job.id)) <= ENDED_EVENTS_TTL_S < EVENTS_TTL_S


@pytest.mark.parametrize("end", ENDS)
def test_the_pixels_of_a_job_that_has_ended_are_gone(queue: Queue, job: Job, work: QueueWork, end: str) -> None:
    ending, status = ENDS[end]
    ending(work, queue)
    assert reloaded(job).get_status() is status
    assert not queue.connection.exists(input_key(job.id))


def test_a_job_that_is_queued_again_has_its_pixels(queue: Queue, job: Job) -> None:
    die_over(queue)
    assert reloaded(job).get_status() is JobStatus.QUEUED
    assert queue.connection.get(input_key(job.id)) == b"pixels"


def test_the_events_of_a_job_that_is_queued_again_last_as_those_of_any_that_waits(queue: Queue, job: Job) -> None:
    die_over(queue)
    assert queue.connection.ttl(events_key(job.id)) > ENDED_EVENTS_TTL_S
