"""Laws of a judged scoring's way through a worker: verdicts, heat maps and p-values. Real Redis, real RQ."""

import io
from typing import Any

import pytest
import torch
from PIL import Image
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus

from tests.worker.calibrated import calibrated
from tests.worker.conftest import QueueWork, reloaded
from worker.contract import (
    NO_CLASS,
    CalibrationId,
    FailureReason,
    Kind,
    ScoreInput,
    ScoreRequest,
    ScoreResult,
    input_key,
    pictures_key,
    queue_name,
)
from worker.engine import Engine
from worker.handlers import Handlers
from worker.metrics import WorkerMetrics

RESULT_TTL_S = 60


@pytest.fixture
def handlers(engine: Engine, connection: Redis) -> Handlers:
    """A worker of scores with a calibrated model."""
    return Handlers(Kind.SCORE, calibrated(engine), connection, WorkerMetrics(), RESULT_TTL_S)


def enqueue(handlers: Handlers, images: int = 1, **changes: Any) -> Job:
    """Queue a request, judged unless it says otherwise, as the service does."""
    fields: dict[str, Any] = {
        "model": "tiny",
        "model_digest": handlers.engine.digest,
        "class_index": NO_CLASS,
        "images": (ScoreInput(sha256="0"),) * images,
        "calibration": handlers.engine.facts().calibrations[0].id,
    }
    request = ScoreRequest(**fields | changes)
    queue = Queue(queue_name(Kind.SCORE, "tiny"), connection=handlers.connection, serializer="json")
    job: Job = queue.create_job(str(Kind.SCORE), args=(request.model_dump(mode="json"),))
    pixels = torch.randint(256, (images, 1, 8, 8), dtype=torch.uint8)
    handlers.connection.set(input_key(job.id), pixels.numpy().tobytes())
    return queue.enqueue_job(job)


def judged(handlers: Handlers, below: str = "+Inf") -> float | None:
    """How many p-values were seen up to a bound."""
    name = "tarflow_score_p_value_bucket"
    return handlers.metrics.registry.get_sample_value(name, {"model": "tiny", "le": below})


def test_a_scoring_has_a_verdict_for_each_image(handlers: Handlers, work: QueueWork) -> None:
    job = enqueue(handlers, 3)
    work(handlers, Kind.SCORE)
    result = ScoreResult.model_validate(reloaded(job).return_value())
    assert [score.verdict is None for score in result.scores] == [False] * 3


def test_a_heat_map_lies_beside_its_result(handlers: Handlers, work: QueueWork) -> None:
    job = enqueue(handlers, heat_map=True)
    work(handlers, Kind.SCORE)
    content: Any = handlers.connection.hget(pictures_key(job.id), "0")
    assert min(Image.open(io.BytesIO(content)).size) > 336
    assert 0 < handlers.connection.ttl(pictures_key(job.id)) <= 2 * RESULT_TTL_S


def test_a_scoring_without_a_heat_map_leaves_no_picture(handlers: Handlers, work: QueueWork) -> None:
    job = enqueue(handlers)
    work(handlers, Kind.SCORE)
    assert not handlers.connection.exists(pictures_key(job.id))


def test_every_p_value_is_counted_and_nothing_else(handlers: Handlers, work: QueueWork) -> None:
    enqueue(handlers, 3)
    enqueue(handlers, 2, class_index="all")
    enqueue(handlers, 4, calibration=None)
    work(handlers, Kind.SCORE)
    assert judged(handlers) == 5


def test_p_values_are_at_zero_before_the_first(handlers: Handlers) -> None:
    assert judged(handlers) == 0


def test_a_p_value_is_counted_in_its_step(handlers: Handlers, work: QueueWork) -> None:
    job = enqueue(handlers, 3)
    work(handlers, Kind.SCORE)
    scores = ScoreResult.model_validate(reloaded(job).return_value()).scores
    assert judged(handlers, "0.5") == sum(
        score.verdict is not None and score.verdict.p_value <= 0.5 for score in scores
    )


def test_a_request_for_another_calibration_fails_alone(handlers: Handlers, work: QueueWork) -> None:
    stale = CalibrationId(name="default", digest="old")
    jobs = [enqueue(handlers), enqueue(handlers, calibration=stale), enqueue(handlers, calibration=None)]
    work(handlers, Kind.SCORE, max_images=8)
    ended = [reloaded(job) for job in jobs]
    assert [job.get_status() for job in ended] == [JobStatus.FINISHED, JobStatus.FAILED, JobStatus.FINISHED]
    assert ended[1].meta["failure_reason"] == FailureReason.MODEL_CHANGED
