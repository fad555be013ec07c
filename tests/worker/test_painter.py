"""Laws of a batch from which rows leave: nobody else's picture changes, and their work is not done."""

from collections.abc import Sequence

import pytest
import torch
from redis import Redis
from rq import Queue
from rq.job import Job

from tests.worker.conftest import EngineMaker, QueueWork, generate_request, reloaded
from worker.contract import CANCEL_FIELD, PROGRESS_FIELD, GenerateRequest, Kind, queue_name
from worker.engine import Engine, Pictures
from worker.errors import JobCancelled
from worker.handlers import Handlers
from worker.metrics import WorkerMetrics
from worker.observer import Observer
from worker.pace import Done
from worker.painter import Passage
from worker.served_job import ServedJob

BLOCKS = 4


class Leaving:
    """Lets request `index` go after `done` blocks."""

    def __init__(self, index: int, done: int) -> None:
        self.index, self.done = index, done
        self.seen: list[tuple[int, int]] = []

    def __call__(self, passage: Passage) -> frozenset[int]:
        """As a worker's observer."""
        self.seen.append((passage.done, passage.blocks))
        return frozenset({self.index}) if passage.done >= self.done else frozenset()


@pytest.fixture
def engine(make_engine: EngineMaker) -> Engine:
    """A tiny engine of several blocks."""
    return make_engine(blocks=BLOCKS)


def pixels(results: Sequence[object]) -> list[torch.Tensor]:
    """Of those that are pictures."""
    return [result.pixels for result in results if isinstance(result, Pictures)]


@pytest.mark.parametrize("done", [1, 2, BLOCKS])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_who_leaves_is_cancelled_and_the_others_have_their_pictures(engine: Engine, index: int, done: int) -> None:
    requests = [generate_request(engine, seed=seed, n=2, guidance=float(seed % 2)) for seed in (1, 20, 40)]
    expected = pixels(engine.generate(requests[:index] + requests[index + 1 :]))
    found = engine.generate(requests, Leaving(index, done))
    assert isinstance(found[index], JobCancelled)
    assert all(torch.equal(one, other) for one, other in zip(expected, pixels(found), strict=True))


def test_every_block_is_told_of(engine: Engine) -> None:
    leaving = Leaving(0, BLOCKS + 1)
    engine.generate([generate_request(engine)], leaving)
    assert leaving.seen == [(done, BLOCKS) for done in range(1, BLOCKS + 1)]


def test_when_all_have_left_nothing_more_is_done(engine: Engine) -> None:
    leaving = Leaving(0, 2)
    (found,) = engine.generate([generate_request(engine)], leaving)
    assert isinstance(found, JobCancelled)
    assert leaving.seen == [(1, BLOCKS), (2, BLOCKS)]


def test_a_running_job_that_is_to_be_cancelled_ends_within_a_block_and_its_progress_is_exact(
    engine: Engine, connection: Redis, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[object] = []

    def ask_after_two(self: Observer, passage: Passage) -> frozenset[int]:
        if passage.done == 2:
            connection.hset(self.jobs[0].key, CANCEL_FIELD, 1)
        found = observe(self, passage)
        noted.append(connection.hget(self.jobs[0].key, PROGRESS_FIELD))
        return found

    observe = Observer.__call__
    monkeypatch.setattr(Observer, "__call__", ask_after_two)
    (job,) = enqueue(connection, generate_request(engine))
    work(Handlers(Kind.GENERATE, engine, connection, WorkerMetrics()))
    assert noted == [b"1/4", b"1/4"]
    assert reloaded(job).is_canceled


def test_pictures_of_a_job_that_leaves_are_not_made_and_cost_what_was_done_of_them(
    engine: Engine, connection: Redis, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, staying = enqueue(connection, generate_request(engine, n=8), generate_request(engine, n=3))
    connection.hset(leaving.key, CANCEL_FIELD, 1)
    told: list[Done] = []
    monkeypatch.setattr("worker.handlers.note_pace", lambda *_, done, **_more: told.append(done))
    work(Handlers(Kind.GENERATE, engine, connection, WorkerMetrics()), max_cost=16)
    assert [reloaded(job).is_canceled for job in (leaving, staying)] == [True, False]
    assert [(each.images, each.cost) for each in told] == [(3, 3 + 8 / BLOCKS)]


def enqueue(connection: Redis, *requests: GenerateRequest) -> list[Job]:
    """Queue requests as the service does."""
    queue = Queue(queue_name(Kind.GENERATE, "tiny"), connection=connection, serializer="json", job_class=ServedJob)
    return [queue.enqueue("generate", each.model_dump(mode="json")) for each in requests]
