"""Laws of a job as it is run: only what is allowed, its reason told, its end announced once. Real Redis, real RQ."""

import importlib
import json
import select
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Callback, Queue
from rq.job import Job, JobStatus
from rq.timeouts import JobTimeoutException
from rq.webhook import Webhook

from tests.worker.conftest import QueueWork, one_by_one, reloaded
from worker.batch_worker import BatchWorker
from worker.contract import NEWS_STREAM, FailureReason, Kind, queue_name
from worker.errors import JobError, ModelChanged, NonFiniteSample, Overflow

STRANGER = "import pathlib\npathlib.Path({trace!r}).touch()\ndef run(*_): pass\nclass Thing: pass\n"
CALLBACKS = ("on_success", "on_failure", "on_stopped")


@pytest.fixture
def queue(connection: Redis) -> Queue:
    """The queue of generations."""
    return Queue(queue_name(Kind.GENERATE, "tiny"), connection=connection, serializer="json")


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when the module `stranger` is imported."""
    trace = tmp_path / "imported"
    (tmp_path / "stranger.py").write_text(STRANGER.format(trace=str(trace)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    return trace


def answer(_job: Job, payload: dict[str, Any]) -> dict[str, Any]:
    """A handler of known answer."""
    return {"echo": payload}


def announced(connection: Redis) -> list[str]:
    """The ids of ended jobs in the news, in order."""
    entries: Any = connection.xrange(NEWS_STREAM)
    return [fields[b"job_id"].decode() for _, fields in entries if fields[b"event"] == b"done"]


def assert_refused(job: Job) -> None:
    """The job failed, and its log says that it was refused."""
    result = reloaded(job).latest_result()
    assert result is not None
    assert "JobRefused" in str(result.exc_string)


def test_the_stranger_leaves_a_trace_when_it_is_imported(trace: Path) -> None:
    importlib.import_module("stranger")
    assert trace.exists()


def test_an_allowed_job_succeeds_with_its_answer(queue: Queue, work: QueueWork) -> None:
    job = queue.enqueue("generate", {"seed": 1})
    work(answer)
    assert reloaded(job).return_value() == {"echo": {"seed": 1}}


def test_a_job_is_told_which_it_is(queue: Queue, work: QueueWork) -> None:
    job = queue.enqueue("generate", {})
    work(lambda job, _: {"id": job.id})
    assert reloaded(job).return_value() == {"id": job.id}


@pytest.mark.parametrize("name", ["stranger.run", "stranger.Thing", "score", "builtins.print", "", "generate.run"])
def test_another_function_is_refused_and_never_imported(queue: Queue, work: QueueWork, trace: Path, name: str) -> None:
    job = queue.enqueue("generate", {})
    queue.connection.hset(job.key, "data", json.dumps([name, None, [{}], {}]))
    work(answer)
    assert_refused(job)
    assert not trace.exists()


def test_an_instance_is_refused_and_never_imported(queue: Queue, work: QueueWork, trace: Path) -> None:
    job = queue.enqueue("generate", {})
    queue.connection.hset(job.key, "data", json.dumps(["generate", "stranger.Thing", [{}], {}]))
    work(answer)
    assert_refused(job)
    assert not trace.exists()


@pytest.mark.parametrize("when", CALLBACKS)
def test_a_callback_is_refused_and_never_imported(queue: Queue, work: QueueWork, trace: Path, when: str) -> None:
    callback: dict[str, Any] = {when: Callback("stranger.run")}
    job = queue.enqueue("generate", {}, **callback)
    work(answer)
    assert_refused(job)
    assert not trace.exists()


@pytest.mark.parametrize("ends", ["finished", "failed"])
def test_a_webhook_is_never_called(queue: Queue, work: QueueWork, ends: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        hooks = [Webhook(url, "finished", timeout=1), Webhook(url, "failed", timeout=1)]
        queue.enqueue("generate" if ends == "finished" else "stranger.run", {}, webhooks=hooks)
        work(answer)
        called, _, _ = select.select([server], [], [], 0)
    assert not called


def test_a_refused_job_leaves_the_next_one_its_answer(queue: Queue, work: QueueWork) -> None:
    queue.enqueue("stranger.run", {})
    job = queue.enqueue("generate", {})
    work(answer)
    assert reloaded(job).get_status() is JobStatus.FINISHED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Overflow("latents"), FailureReason.OVERFLOW),
        (NonFiniteSample("x"), FailureReason.NON_FINITE),
        (ModelChanged("x"), FailureReason.MODEL_CHANGED),
        (JobTimeoutException("x"), FailureReason.TIMEOUT),
        (JobError("x"), FailureReason.INTERNAL),
        (ZeroDivisionError("x"), FailureReason.INTERNAL),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failed_job_keeps_its_reason(queue: Queue, work: QueueWork, error: Exception, reason: FailureReason) -> None:
    def fail(_job: Job, _payload: dict[str, Any]) -> dict[str, Any]:
        raise error

    job = queue.enqueue("generate", {})
    work(fail)
    assert reloaded(job).get_status() is JobStatus.FAILED
    assert reloaded(job).meta["failure_reason"] == reason


def test_a_job_that_failed_for_what_it_asks_keeps_the_field(queue: Queue, work: QueueWork) -> None:
    def fail(_job: Job, _payload: dict[str, Any]) -> dict[str, Any]:
        raise Overflow("image[1]")

    job = queue.enqueue("generate", {})
    work(fail)
    assert reloaded(job).meta["failure_field"] == "image[1]"


def test_a_success_is_announced_once(queue: Queue, work: QueueWork) -> None:
    job = queue.enqueue("generate", {})
    work(answer)
    assert announced(queue.connection) == [job.id]


def test_a_failure_is_announced_once(queue: Queue, work: QueueWork) -> None:
    job = queue.enqueue("stranger.run", {})
    work(answer)
    assert announced(queue.connection) == [job.id]


def test_ends_are_announced_in_their_order(queue: Queue, work: QueueWork) -> None:
    jobs = [queue.enqueue(name, {}) for name in ("generate", "stranger.run", "generate")]
    work(answer)
    assert announced(queue.connection) == [job.id for job in jobs]


def test_nothing_is_announced_before_the_end(queue: Queue, work: QueueWork) -> None:
    seen = []

    def look(_job: Job, _payload: dict[str, Any]) -> dict[str, Any]:
        seen.append(announced(queue.connection))
        return {}

    queue.enqueue("generate", {})
    work(look)
    assert seen == [[]]


def test_news_expire(queue: Queue, work: QueueWork) -> None:
    queue.enqueue("generate", {})
    work(answer)
    assert queue.connection.ttl(NEWS_STREAM) > 0


def test_two_workers_of_one_process_have_two_names(connection: Redis) -> None:
    names = {BatchWorker(connection, Kind.GENERATE, "tiny", one_by_one(answer), 1, 0).name for _ in range(2)}
    assert len(names) == 2


def test_a_worker_whose_work_ends_by_itself_was_not_told_to_stop(queue: Queue, work: QueueWork) -> None:
    queue.enqueue("generate", {})
    assert not work(answer).was_told_to_stop


def test_a_worker_leaves_the_other_kind_of_work_alone(queue: Queue, work: QueueWork) -> None:
    job = queue.enqueue("generate", {})
    work(answer, Kind.SCORE)
    assert reloaded(job).get_status() is JobStatus.QUEUED
