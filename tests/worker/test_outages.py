"""Laws of a Redis that is away or refuses for now: the worker waits, and loses nothing. Real Redis, real RQ."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis._parsers.base import BaseParser
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from rq import Queue
from rq.job import Job, JobStatus

from tests.worker.conftest import QueueWork, generate_request, one_by_one, reloaded
from worker.attendant import Attendant
from worker.batch_worker import BatchWorker
from worker.contract import Kind, pictures_key
from worker.engine import Engine
from worker.errors import JobCancelled, JobError
from worker.handlers import Handlers
from worker.made import Made, Outcome
from worker.metrics import WorkerMetrics
from worker.outage import passes
from worker.picture_jobs import paint_all
from worker.served_job import ServedJob

Ail = Callable[[Redis], object]
NOTHING: Any = one_by_one(lambda _job, _payload: {})

AILMENTS: dict[str, Ail] = {
    "full": lambda redis: redis.config_set("maxmemory", "1mb"),
    "demoted": lambda redis: redis.replicaof("127.0.0.1", "1"),
    "without replicas": lambda redis: redis.config_set("min-replicas-to-write", 1),
}


def heal(redis: Redis) -> None:
    """Let Redis be as it was."""
    redis.config_set("maxmemory", 0)
    redis.replicaof("NO", "ONE")
    redis.config_set("min-replicas-to-write", 0)


class Healing:
    """The time, in whose first pause Redis is healed."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, redis: Redis) -> None:
        self.redis, self.pauses = redis, 0

    def sleep(self, _pause_s: float) -> None:
        """Pass at once."""
        self.pauses += 1
        heal(self.redis)


@pytest.fixture
def healing(connection: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Healing]:
    """A Redis that is healed when a worker waits for it, or at the end."""
    healing = Healing(connection)
    monkeypatch.setattr("worker.batch_worker.time", healing)
    yield healing
    heal(connection)


@pytest.mark.parametrize("ailment", AILMENTS)
def test_a_worker_that_starts_waits_for_a_redis_that_refuses(
    ailment: str, connection: Redis, healing: Healing, job: Job, work: QueueWork
) -> None:
    AILMENTS[ailment](connection)
    work(NOTHING, batches=True)
    assert healing.pauses > 0
    assert reloaded(job).get_status() is JobStatus.FINISHED


@pytest.mark.parametrize("ailment", AILMENTS)
def test_a_result_waits_for_a_redis_that_refuses(
    ailment: str, connection: Redis, healing: Healing, job: Job, work: QueueWork
) -> None:
    runs: list[str] = []

    def ail(job: ServedJob, _payload: object) -> dict[str, Any]:
        runs.append(job.id)
        AILMENTS[ailment](connection)
        return {"made": True}

    work(ail)
    assert healing.pauses > 0
    assert runs == [job.id]
    assert reloaded(job).return_value() == {"made": True}


@pytest.mark.parametrize("ailment", AILMENTS)
def test_maintenance_waits_for_a_redis_that_refuses(
    ailment: str, connection: Redis, healing: Healing, work: QueueWork
) -> None:
    worker = work(NOTHING, batches=True)
    worker.last_cleaned_at = None
    AILMENTS[ailment](connection)
    worker.run_maintenance_tasks()
    assert healing.pauses > 0
    assert not worker.should_run_maintenance_tasks


@pytest.mark.parametrize("ailment", AILMENTS)
def test_pictures_wait_for_a_redis_that_refuses_and_are_made_and_counted_once(
    ailment: str, engine: Engine, queue: Queue, healing: Healing, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paint_and_ail(*arguments: Any) -> Any:
        painted = paint_all(*arguments)
        AILMENTS[ailment](queue.connection)
        return painted

    monkeypatch.setattr("worker.handlers.paint_all", paint_and_ail)
    job, metrics = queue.enqueue("generate", generate_request(engine, n=2).model_dump(mode="json")), WorkerMetrics()
    work(Handlers(Kind.GENERATE, engine, queue.connection, metrics))
    assert healing.pauses > 0
    assert queue.connection.hlen(pictures_key(job.id)) == 3
    labels = {"model": "tiny", "kind": "generate"}
    names = ("tarflow_images_total", "tarflow_batch_size_count", "tarflow_job_wait_seconds_count")
    assert [metrics.registry.get_sample_value(name, labels) for name in names] == [2, 1, 1]


def test_a_worker_whose_first_word_was_heard_and_not_answered_starts(
    healing: Healing, job: Job, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_answer(worker: BatchWorker) -> None:
        register(worker)
        if not healing.pauses:
            raise RedisConnectionError

    register = BatchWorker.register_birth
    monkeypatch.setattr(BatchWorker, "register_birth", lose_the_answer)
    work(NOTHING, batches=True)
    assert healing.pauses == 1
    assert reloaded(job).get_status() is JobStatus.FINISHED


def test_a_worker_that_waits_leaves_the_server_that_refused(connection: Redis, healing: Healing) -> None:
    worker = BatchWorker(connection, Kind.GENERATE, "tiny", NOTHING, max_cost=1, window_s=0)
    asked: list[int] = []

    def ask() -> None:
        asked.append(int(connection.client_id()))
        if len(asked) == 1:
            raise ReadOnlyError

    worker._patiently(ask)
    assert healing.pauses == 1
    assert asked[0] != asked[1]


@pytest.mark.parametrize(
    "said",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "NOREPLICAS Not enough good replicas to write.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed",
        "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write",
    ],
)
def test_what_redis_refuses_for_now_passes_alone_and_in_a_pipeline(said: str, connection: Redis) -> None:
    error = BaseParser.parse_error(said)
    assert passes(error)
    Pipeline(connection.connection_pool, {}, True, None).annotate_exception(error, 1, ["SET", "it"])
    assert passes(error)


@pytest.mark.parametrize(
    "said",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "NOPERM this user has no permissions to run the 'set' command",
        "ERR unknown command 'OOM '",
    ],
)
def test_what_redis_will_refuse_again_does_not_pass_whatever_the_command_says(said: str, connection: Redis) -> None:
    error = BaseParser.parse_error(said)
    Pipeline(connection.connection_pool, {}, True, None).annotate_exception(error, 1, ["SET", "a -OOM b"])
    assert not passes(error)


class Counting(Attendant):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.ends: list[tuple[str | None, int]] = []

    def ended(self, job: ServedJob, batch_size: int) -> None:
        """Note the outcome."""
        self.ends.append((job.outcome, batch_size))


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("outcome", "end"),
    [(Made({"made": True}), "succeeded"), (JobError("as known"), "failed"), (JobCancelled(), "cancelled")],
    ids=["succeeded", "failed", "cancelled"],
)
def test_an_end_whose_answer_was_lost_is_told_once_and_as_it_was(
    outcome: Outcome, end: str, healing: Healing, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_answer(worker: BatchWorker, *arguments: Any) -> Any:
        ended = commit(worker, *arguments)
        if ended and not healing.pauses:
            raise RedisConnectionError
        return ended

    commit, counting = BatchWorker._commit, Counting()
    monkeypatch.setattr(BatchWorker, "_commit", lose_the_answer)
    worker = BatchWorker(
        job.connection, Kind.GENERATE, "tiny", lambda _jobs, _meanwhile: [outcome], 1, window_s=0, attendant=counting
    )
    worker.work(burst=True, logging_level="CRITICAL")
    assert healing.pauses == 1
    assert counting.ends == [(end, 1)]
    assert worker.executions == {}
