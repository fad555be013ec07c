"""Laws of a judged scoring's way through a worker: verdicts, heat maps and p-values. Real Redis, real RQ."""

import io
import json
import threading
from typing import Any

import pytest
import torch
from PIL import Image
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from torch import Tensor

from model import TarFlow
from model.class_likelihoods import pair_log_probs
from tests.worker.calibrated import calibrated
from tests.worker.conftest import QueueWork, reloaded
from worker.contract import (
    CANCEL_FIELD,
    HELD_KEY,
    NO_CLASS,
    CalibrationId,
    FailureReason,
    Kind,
    ScoreInput,
    ScoreRequest,
    ScoreResult,
    events_key,
    input_key,
    pace_key,
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
    return Handlers(Kind.SCORE, calibrated(engine), connection, WorkerMetrics())


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many passes under one of all classes each chunk made."""
    made: list[int] = []

    def note(flow: TarFlow, images: Tensor, pairs: Tensor) -> Tensor:
        made.append(len(pairs))
        return pair_log_probs(flow, images, pairs)

    monkeypatch.setattr("worker.examiner.pair_log_probs", note)
    return made


def enqueue(handlers: Handlers, images: int = 1, timeout_s: int | None = None, **changes: Any) -> Job:
    """Queue a request, judged unless it says otherwise, as the service does."""
    fields: dict[str, Any] = {
        "model": "tiny",
        "model_digest": handlers.engine.digest,
        "class_index": NO_CLASS,
        "images": (ScoreInput(sha256="0"),) * images,
        "calibration": handlers.engine.facts().calibrations[0].id,
        "classes": 3 if changes.get("class_index") == "all" else 0,
    }
    request = ScoreRequest(**fields | changes)
    queue = Queue(queue_name(Kind.SCORE, "tiny"), connection=handlers.connection, serializer="json")
    job: Job = queue.create_job(
        str(Kind.SCORE), args=(request.model_dump(mode="json"),), timeout=timeout_s, result_ttl=RESULT_TTL_S
    )
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


def test_a_scoring_and_its_heat_map_are_on_the_account_once(handlers: Handlers, work: QueueWork) -> None:
    enqueue(handlers, heat_map=True)
    work(handlers, Kind.SCORE)
    assert handlers.connection.zcard(HELD_KEY) == 1


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


def noted(handlers: Handlers, name: str) -> float | None:
    """One figure of the worker."""
    return handlers.metrics.registry.get_sample_value(name, {"model": "tiny", "kind": "score"})


def progress(job: Job) -> list[tuple[int, int]]:
    """What was told of a job's progress: done, and of how many."""
    events: Any = job.connection.xrange(events_key(job.id))
    told = [json.loads(fields[b"data"]) for _, fields in events if fields[b"event"] == b"progress"]
    return [(each["done"], each["steps"]) for each in told]


def test_progress_is_told_in_passes_between_their_chunks(handlers: Handlers, work: QueueWork) -> None:
    job = enqueue(handlers, 64, class_index="all")
    work(handlers, Kind.SCORE)
    assert progress(job) == [(64, 256), (128, 256), (192, 256)]


def test_a_score_that_is_done_in_one_chunk_tells_of_no_progress(handlers: Handlers, work: QueueWork) -> None:
    job = enqueue(handlers, 64)
    work(handlers, Kind.SCORE)
    assert progress(job) == []


def test_a_score_asked_to_stop_midway_makes_no_pass_beyond_its_chunk(
    handlers: Handlers, work: QueueWork, passed: list[int]
) -> None:
    dear, other = enqueue(handlers, 64, class_index="all"), enqueue(handlers, 2, class_index=1)
    handlers.connection.hset(dear.key, CANCEL_FIELD, 1)
    work(handlers, Kind.SCORE, max_cost=1000)
    assert [reloaded(job).get_status() for job in (dear, other)] == [JobStatus.CANCELED, JobStatus.FINISHED]
    assert passed == []
    assert noted(handlers, "tarflow_images_total") == 2


def test_the_size_of_a_batch_is_its_passes_and_its_images_are_its_images(handlers: Handlers, work: QueueWork) -> None:
    enqueue(handlers, 3, class_index="all")
    enqueue(handlers, 2)
    work(handlers, Kind.SCORE, max_cost=1000)
    assert (noted(handlers, "tarflow_batch_size_sum"), noted(handlers, "tarflow_images_total")) == (14, 5)


def test_the_pace_is_that_of_a_pass(handlers: Handlers, work: QueueWork) -> None:
    enqueue(handlers, 64, class_index="all")
    work(handlers, Kind.SCORE)
    batch_s = noted(handlers, "tarflow_batch_duration_seconds_sum") or 0
    assert float(handlers.connection.get(pace_key(Kind.SCORE, "tiny")) or 0) == pytest.approx(batch_s / 256)


def test_a_score_that_outlasts_its_time_midway_fails_for_that_reason(
    handlers: Handlers, work: QueueWork, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("worker.examiner.pair_log_probs", lambda *_: threading.Event().wait())
    job = enqueue(handlers, 64, class_index="all", timeout_s=1)
    work(handlers, Kind.SCORE)
    assert reloaded(job).meta["failure_reason"] == FailureReason.TIMEOUT
    (told,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert job.id in told.getMessage()
    assert not told.exc_info  # a line, and no traceback


def test_a_request_for_another_calibration_fails_alone(handlers: Handlers, work: QueueWork) -> None:
    stale = CalibrationId(name="default", digest="old")
    jobs = [enqueue(handlers), enqueue(handlers, calibration=stale), enqueue(handlers, calibration=None)]
    work(handlers, Kind.SCORE, max_cost=8)
    ended = [reloaded(job) for job in jobs]
    assert [job.get_status() for job in ended] == [JobStatus.FINISHED, JobStatus.FAILED, JobStatus.FINISHED]
    assert ended[1].meta["failure_reason"] == FailureReason.MODEL_CHANGED
