"""Laws of what is told of a job: in order, to its end, with pictures on the way for who wants them. Real Redis."""

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image
from rq import Queue
from rq.job import Job

from tests.worker.conftest import EngineMaker, QueueWork, generate_request
from worker.contract import NEWS_STREAM, PREVIEW_FIELD, Kind, events_key
from worker.engine import Engine
from worker.handlers import Handlers
from worker.metrics import WorkerMetrics
from worker.observer import note_shares
from worker.passes import Share
from worker.served_job import as_served

Event = tuple[str, dict[str, Any]]


@pytest.fixture
def engine(make_engine: EngineMaker) -> Engine:
    """A tiny engine of three blocks."""
    return make_engine(blocks=3)


def told(job: Job) -> list[Event]:
    """All that was told of a job, in order."""
    entries: Any = job.connection.xrange(events_key(job.id))
    return [(fields[b"event"].decode(), json.loads(fields[b"data"])) for _, fields in entries]


def worked(engine: Engine, queue: Queue, work: QueueWork, previews: bool = False, n: int = 1) -> Job:
    """A job, done."""
    job = queue.enqueue("generate", generate_request(engine, n=n).model_dump(mode="json"))
    if previews:
        queue.connection.hset(job.key, PREVIEW_FIELD, 1)
    work(Handlers(Kind.GENERATE, engine, queue.connection, WorkerMetrics()))
    return job


def test_a_job_is_told_of_from_its_start_block_by_block_to_its_end(
    engine: Engine, queue: Queue, work: QueueWork
) -> None:
    job = worked(engine, queue, work)
    steps = [("progress", {"done": done, "steps": 3, "progress": done / 3}) for done in (1, 2, 3)]
    assert told(job) == [("status", {"state": "running"}), *steps, ("done", {"state": "succeeded"})]


@pytest.mark.parametrize(("n", "size"), [(1, (8, 8)), (3, (22, 22))])
def test_who_wants_them_gets_a_picture_after_every_block(
    engine: Engine, queue: Queue, work: QueueWork, n: int, size: tuple[int, int]
) -> None:
    job = worked(engine, queue, work, previews=True, n=n)
    previews = [data for event, data in told(job) if event == "preview"]
    assert [data["done"] for data in previews] == [1, 2, 3]
    pictures = [base64.b64decode(data["png_base64"]) for data in previews]
    assert len(set(pictures)) == 3
    assert all(Image.open(io.BytesIO(picture)).size == size for picture in pictures)


def test_every_event_is_in_the_news_too(engine: Engine, queue: Queue, work: QueueWork) -> None:
    job = worked(engine, queue, work)
    news: Any = queue.connection.xrange(NEWS_STREAM)
    assert [(fields[b"job_id"].decode(), fields[b"event"].decode()) for _, fields in news] == [
        (job.id, event) for event, _ in told(job)
    ]


def test_of_a_job_that_has_vanished_nothing_is_noted_or_told(queue: Queue) -> None:
    job = queue.enqueue("generate", {})
    queue.connection.flushdb()
    assert note_shares(queue.connection, [as_served(job)], [Share(1, 4)]) == [0]
    assert list(queue.connection.scan_iter()) == []


def test_what_was_told_expires(engine: Engine, queue: Queue, work: QueueWork) -> None:
    job = worked(engine, queue, work)
    assert queue.connection.ttl(events_key(job.id)) > 0
    assert queue.connection.ttl(NEWS_STREAM) > 0
