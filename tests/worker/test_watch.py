"""Laws of a transaction that is decided on a look: it counts only if nothing has changed since. Real Redis."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis, WatchError
from redis.exceptions import ResponseError
from rq import Queue
from rq.job import Job, JobStatus

from tests.worker.conftest import QueueWork, reloaded
from worker.contract import CANCEL_FIELD
from worker.intake import Intake
from worker.served_job import ServedJob
from worker.watch import Watch

Disturb = Callable[[Callable[[], object]], None]


@pytest.fixture
def disturb(monkeypatch: pytest.MonkeyPatch) -> Disturb:
    """Let something happen once, just after the next look."""

    def disturb(happen: Callable[[], object]) -> None:
        events, look = [happen], Watch.look

        def look_and_be_disturbed(watch: Watch, *keys: str) -> list[Any]:
            answers = look(watch, *keys)
            if events:
                events.pop()()
            return answers

        monkeypatch.setattr(Watch, "look", look_and_be_disturbed)

    return disturb


def test_a_look_answers_in_order(connection: Redis) -> None:
    connection.set("it", "1")
    with Watch.on(connection) as pipeline:
        pipeline.get("it")
        pipeline.get("other")
        assert pipeline.look("it") == [b"1", None]


def test_what_is_asked_after_a_look_is_done_together(connection: Redis) -> None:
    with Watch.on(connection) as pipeline:
        pipeline.get("it")
        pipeline.look("it")
        pipeline.set("it", "1")
        assert connection.get("it") is None
        pipeline.execute()
    assert connection.get("it") == b"1"


@pytest.mark.parametrize("change", ["set", "delete"])
def test_nothing_is_done_where_what_was_looked_at_has_changed(change: str, connection: Redis) -> None:
    connection.set("it", "1")
    with Watch.on(connection) as pipeline:
        pipeline.get("it")
        pipeline.look("other", "it")
        if change == "set":
            connection.set("it", "2")
        else:
            connection.delete("it")
        pipeline.set("done", "1")
        with pytest.raises(WatchError):
            pipeline.execute()
    assert not connection.exists("done")


def test_what_changes_beside_it_hinders_nothing(connection: Redis) -> None:
    with Watch.on(connection) as pipeline:
        pipeline.look("it")
        connection.set("other", "2")
        pipeline.set("done", "1")
        pipeline.execute()
    assert connection.exists("done")


def test_a_look_that_fails_leaves_no_connection_that_watches(connection: Redis) -> None:
    connection.set("it", "1")
    with Watch.on(connection) as pipeline:
        pipeline.hgetall("it")
        with pytest.raises(ResponseError):
            pipeline.look("it")
    connection.set("it", "2")
    with connection.pipeline() as pipeline:
        pipeline.set("done", "1")
        pipeline.execute()  # Had the same connection still watched, this would fail.
    assert connection.get("done") == b"1"


def test_a_look_that_nothing_follows_leaves_no_connection_that_watches(connection: Redis) -> None:
    with Watch.on(connection) as pipeline:
        pipeline.look("it")
    connection.set("it", "2")
    with connection.pipeline() as pipeline:
        pipeline.set("done", "1")
        pipeline.execute()
    assert connection.get("done") == b"1"


def test_a_job_that_is_cancelled_while_it_is_claimed_is_not_run(queue: Queue, job: Job, disturb: Disturb) -> None:
    intake = Intake(queue, max_cost=1, window_s=0)
    popped = intake.pop(wait=False)
    disturb(lambda: queue.connection.hset(job.key, "status", "canceled"))
    assert intake.claim(popped, "a worker").jobs == ()


def test_a_job_whose_end_is_wished_for_while_it_is_committed_ends_cancelled(
    queue: Queue, job: Job, work: QueueWork, disturb: Disturb
) -> None:
    def make(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        disturb(lambda: queue.connection.hset(job.key, CANCEL_FIELD, 1))
        return {}

    work(make)
    assert reloaded(job).get_status() is JobStatus.CANCELED


def test_a_job_that_is_touched_while_it_is_committed_ends_nevertheless(
    queue: Queue, job: Job, work: QueueWork, disturb: Disturb
) -> None:
    def make(_job: ServedJob, _payload: dict[str, Any]) -> dict[str, Any]:
        disturb(lambda: queue.connection.hset(job.key, "traceparent", "it"))
        return {}

    work(make)
    assert reloaded(job).get_status() is JobStatus.FINISHED
