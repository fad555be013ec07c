"""Laws of what a worker does between its batches: names it clears away, orders of RQ's that it heeds. Real Redis."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from redis.connection import AbstractConnection
from rq import Queue
from rq.job import Job, JobStatus
from rq.suspension import resume, suspend
from rq.worker import WorkerStatus

from tests.worker.conftest import QueueWork, one_by_one, reloaded
from worker.batch_worker import BatchWorker
from worker.contract import Kind
from worker.intake import Intake
from worker.made import Made, Outcome
from worker.served_job import ServedJob

NOTHING: Any = one_by_one(lambda _job, _payload: {})


def names(queue: Queue) -> list[set[bytes]]:
    """Of workers, as RQ has them: all, and those of the queue."""
    found: list[Any] = [queue.connection.smembers(key) for key in ("rq:workers", f"rq:workers:{queue.name}")]
    return found


def a_worker(queue: Queue) -> BatchWorker:
    """One that has nothing to do yet."""
    return BatchWorker(queue.connection, Kind.GENERATE, "tiny", NOTHING, max_cost=1, window_s=0)


def test_the_names_of_workers_that_were_killed_are_cleared_away_and_no_others(queue: Queue) -> None:
    killed, living = a_worker(queue), a_worker(queue)
    for each in (killed, living):
        each.register_birth()
    queue.connection.delete(killed.key)  # as it goes by itself
    a_worker(queue).run_maintenance_tasks()
    assert names(queue) == [{living.key.encode()}] * 2


@pytest.mark.usefixtures("work")
def test_a_worker_that_is_suspended_begins_nothing_until_it_is_resumed(
    queue: Queue, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[JobStatus] = []

    def resume_when_looked_at(_pause_s: float) -> None:
        seen.append(reloaded(job).get_status())
        resume(queue.connection)

    monkeypatch.setattr("rq.worker.base.time.sleep", resume_when_looked_at)
    suspend(queue.connection)
    worker = a_worker(queue)
    worker.check_for_suspension(burst=False)
    assert seen == [JobStatus.QUEUED]


def test_a_worker_in_a_burst_that_is_suspended_begins_nothing(queue: Queue, job: Job, work: QueueWork) -> None:
    suspend(queue.connection)
    work(NOTHING, batches=True)
    assert reloaded(job).get_status() is JobStatus.QUEUED


@pytest.mark.usefixtures("work")
def test_a_suspension_that_comes_while_a_batch_runs_is_heeded_a_second_later(queue: Queue, job: Job) -> None:
    def be_suspended(_jobs: Sequence[ServedJob], _meanwhile: Callable[[], None]) -> list[Outcome]:
        suspend(queue.connection)
        worker._suspension_due_s = 0.0  # as a second later
        return [Made({})]

    worker = BatchWorker(queue.connection, Kind.GENERATE, "tiny", be_suspended, max_cost=1, window_s=0)
    second = queue.enqueue("generate", {}, result_ttl=60)
    worker.work(burst=True, logging_level="CRITICAL")
    assert [reloaded(each).get_status() for each in (job, second)] == [JobStatus.FINISHED, JobStatus.QUEUED]


def test_a_worker_is_busy_while_it_runs_a_batch_and_idle_while_it_waits(
    queue: Queue, job: Job, work: QueueWork
) -> None:
    said: dict[str, object] = {}

    def look(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        (key,) = names(queue)[0]
        said["running"] = queue.connection.hget(key, "state")
        return {}

    worker = work(look)
    said["waiting"] = queue.connection.hget(worker.key, "state")
    assert said == {"running": WorkerStatus.BUSY.encode(), "waiting": WorkerStatus.IDLE.encode()}
    assert reloaded(job).get_status() is JobStatus.FINISHED


def trips(queue: Queue, jobs: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often a worker that does so many jobs waits for an answer of Redis, its own threads aside."""
    asked: list[object] = []

    def ask(connection: AbstractConnection, command: Any, **options: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            asked.append(command)
        send(connection, command, **options)

    send = AbstractConnection.send_packed_command
    for _ in range(jobs):
        queue.enqueue("generate", {}, result_ttl=60)
    with monkeypatch.context() as patch:
        patch.setattr("worker.batch_worker.SUSPENSION_S", 3600.0)
        patch.setattr(AbstractConnection, "send_packed_command", ask)
        a_worker(queue).work(burst=True, logging_level="CRITICAL")
    assert queue.is_empty()
    return len(asked)


@pytest.mark.usefixtures("work")
def test_a_job_that_is_alone_in_its_queue_costs_five_trips_to_redis(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips(queue, 1, monkeypatch)  # opens connections, makes Redis know scripts
    none, one = (trips(queue, jobs, monkeypatch) for jobs in (0, 1))
    assert one - none == 5


def test_a_window_is_waited_out_for_jobs_that_come_within_it(queue: Queue, job: Job) -> None:
    intake = Intake(queue, max_cost=2, window_s=3600)
    late: list[Job] = []

    def drain(taken: list[str]) -> list[Any]:
        if not late:
            late.append(queue.enqueue("generate", {}, result_ttl=60))
        return Intake._drain(intake, taken)

    object.__setattr__(intake, "_drain", drain)
    assert intake.pop(wait=False) == [job.id, late[0].id]
