"""Laws of the line about a job: one for each end, with what it took, and part of its request's trace."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from rq import Queue, Retry
from rq.job import Job

from telemetry.spans import Attributes
from telemetry.traces import Trace
from tests.worker.conftest import QueueWork
from worker.attendant import Duty
from worker.batch_worker import BatchWorker
from worker.contract import CANCEL_FIELD, IMAGES_FIELD, MAX_RETRIES, TRACE_FIELD, FailureReason, Kind
from worker.errors import JobError, NonFiniteSample
from worker.janitor import Janitor
from worker.job_log import JobLog
from worker.metrics import WorkerMetrics
from worker.served_job import ServedJob

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
Put = Callable[..., Job]
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def put(queue: Queue) -> Put:
    """Queue a job as the service does, with a trace."""

    def put(**payload: Any) -> Job:
        job = queue.enqueue("generate", payload, retry=Retry(MAX_RETRIES, enqueue_at_front=True), result_ttl=60)
        queue.connection.hset(job.key, mapping={IMAGES_FIELD: 1, TRACE_FIELD: f"00-{TRACE_ID}-{SPAN_ID}-01"})
        return job

    return put


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """What has been told of jobs so far."""
    caplog.set_level(logging.INFO, "worker.job_log")
    return lambda: [vars(each)["fields"] for each in caplog.records if each.name == "worker.job_log"]


def done(_job: ServedJob, payload: dict[str, Any]) -> dict[str, Any]:
    """A result, or the error that the payload wants."""
    if payload.get("bad"):
        raise NonFiniteSample("guidance 20")
    return {"done": True}


def test_a_job_that_succeeds_is_told_with_what_it_took(put: Put, work: QueueWork, lines: Lines) -> None:
    job = put()
    work(done)
    (line,) = lines()
    assert {name: line[name] for name in ("job_id", "kind", "model", "outcome", "batch_size", "trace_id")} == {
        "job_id": job.id,
        "kind": "generate",
        "model": "tiny",
        "outcome": "succeeded",
        "batch_size": 1,
        "trace_id": TRACE_ID,
    }
    assert line["wait_ms"] >= 0
    assert line["run_ms"] >= 0


def test_a_job_that_fails_is_told_with_its_reason(put: Put, work: QueueWork, lines: Lines) -> None:
    put(bad=True)
    work(done)
    assert [(line["outcome"], line["reason"]) for line in lines()] == [("failed", FailureReason.NON_FINITE)]


def test_a_job_that_was_cancelled_while_it_ran_is_told_so(
    put: Put, work: QueueWork, lines: Lines, connection: Redis
) -> None:
    job = put()

    def cancelled(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        connection.hset(job.key, CANCEL_FIELD, 1)
        return {"done": True}

    work(cancelled)
    assert [line["outcome"] for line in lines()] == ["cancelled"]


def test_each_job_of_a_batch_has_its_line_and_says_how_many_shared_it(put: Put, work: QueueWork, lines: Lines) -> None:
    jobs = [put(), put(bad=True), put()]
    work(done, max_cost=3)
    assert {line["job_id"]: (line["outcome"], line["batch_size"]) for line in lines()} == {
        jobs[0].id: ("succeeded", 3),
        jobs[1].id: ("failed", 3),
        jobs[2].id: ("succeeded", 3),
    }


def test_what_was_asked_for_is_not_told(put: Put, work: QueueWork, lines: Lines) -> None:
    put(seed=271828182845)
    work(done)
    assert "271828182845" not in str(lines())


def test_a_job_that_lost_its_lease_is_not_told_by_who_lost_it(
    put: Put, work: QueueWork, lines: Lines, connection: Redis
) -> None:
    job = put()

    def usurped(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        connection.hset(job.key, "worker_name", "another")
        return {"done": True}

    work(usurped)
    assert lines() == []


def test_a_job_that_cost_all_its_workers_is_told_by_the_janitor(
    put: Put, lines: Lines, queue: Queue, connection: Redis
) -> None:
    job = put()
    worker = BatchWorker(connection, Kind.GENERATE, "tiny", lambda _jobs, _meanwhile: [], max_cost=1, window_s=0)
    popped = worker.intake.pop(wait=False)
    batch = worker.intake.claim(popped, "dead")
    connection.hset(job.key, "retries_left", 0)
    connection.zadd(batch.jobs[0].started_job_registry.key, {batch.executions[0].composite_key: 1})
    Janitor(connection, queue, Duty(WorkerMetrics(), JobLog(), look=lambda _since_s: None)).tidy()
    assert [(line["job_id"], line["outcome"], line["reason"]) for line in lines()] == [
        (job.id, "failed", FailureReason.ABANDONED)
    ]


def test_a_job_without_a_trace_begins_one(put: Put, work: QueueWork, lines: Lines, connection: Redis) -> None:
    connection.hdel(put().key, TRACE_FIELD)
    work(done)
    assert [len(line["trace_id"]) for line in lines()] == [32]


def test_the_wait_and_the_batch_are_spans_under_the_request(put: Put, work: QueueWork) -> None:
    told: list[tuple[str, Trace, float]] = []

    class Kept:
        def record(self, name: str, trace: Trace, begun_s: float, ended_s: float, _attributes: Attributes) -> None:
            told.append((name, trace, ended_s - begun_s))

    put()
    queue_worker = work(lambda _job, _payload: {})
    queue_worker.attendant = Duty(WorkerMetrics(), JobLog(Kept()), look=lambda _since_s: None)
    put()
    queue_worker.work(burst=True, logging_level="CRITICAL")
    assert [(name, trace.trace_id, trace.parent_id) for name, trace, _ in told] == [
        ("queue wait", TRACE_ID, SPAN_ID),
        ("batch", TRACE_ID, SPAN_ID),
    ]
    assert all(lasted_s >= 0 for _, _, lasted_s in told)
    assert told[0][1].span_id != told[1][1].span_id


def test_an_error_of_a_job_is_no_line_of_its_own(put: Put, work: QueueWork, lines: Lines) -> None:
    def broken(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        raise JobError("it")

    put()
    work(broken)
    assert len(lines()) == 1
