"""Laws of a job's way through a worker: payload in, pictures and result out, counted. Real Redis, real RQ."""

import io
from typing import Any

import pytest
import torch
from PIL import Image
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from torch import Tensor

from tests.worker.conftest import EngineMaker, QueueWork, generate_request, overflow, reloaded, run_away
from worker.contract import (
    FailureReason,
    GenerateRequest,
    GenerateResult,
    Kind,
    ScoreInput,
    ScoreRequest,
    ScoreResult,
    input_key,
    pace_key,
    pictures_key,
    queue_name,
)
from worker.engine import Engine
from worker.handlers import Handlers
from worker.metrics import WorkerMetrics
from worker.pace import PACE_TTL_S
from worker.picture_store import OUTLIVE_JOB_S


@pytest.fixture
def metrics() -> WorkerMetrics:
    """A worker's, all at zero."""
    return WorkerMetrics()


def enqueue(
    connection: Redis, request: GenerateRequest | ScoreRequest, pixels: Tensor | None = None, **options: Any
) -> Job:
    """Queue a request as the service does."""
    kind = Kind.GENERATE if isinstance(request, GenerateRequest) else Kind.SCORE
    queue = Queue(queue_name(kind, "tiny"), connection=connection, serializer="json")
    job: Job = queue.create_job(str(kind), args=(request.model_dump(mode="json"),), **options)
    if pixels is not None:
        connection.set(input_key(job.id), pixels.numpy().tobytes())
    return queue.enqueue_job(job)


def score_request(engine: Engine, images: int) -> ScoreRequest:
    """A request to score so many images under class 1."""
    inputs = (ScoreInput(sha256="0"),) * images
    return ScoreRequest(model="tiny", model_digest=engine.digest, class_index=1, images=inputs)


def count(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    """One figure of a worker of generations."""
    return metrics.registry.get_sample_value(name, {"model": "tiny", "kind": "generate", **labels})


def pictures(job: Job) -> dict[str, bytes]:
    """The files of a generation, by field."""
    found: Any = job.connection.hgetall(pictures_key(job.id))
    return {field.decode(): content for field, content in found.items()}


def reason(job: Job) -> object:
    """Why a job failed; it did."""
    again = reloaded(job)
    assert again.get_status() is JobStatus.FAILED
    return again.meta["failure_reason"]


@pytest.mark.parametrize(("n", "fields"), [(1, {"0"}), (3, {"0", "1", "2", "sheet"})])
def test_a_finished_generation_has_its_pictures(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork, n: int, fields: set[str]
) -> None:
    job = enqueue(connection, generate_request(engine, n=n))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert reloaded(job).get_status() is JobStatus.FINISHED
    assert pictures(job).keys() == fields
    assert Image.open(io.BytesIO(pictures(job)["0"])).size == (8, 8)


def test_what_lies_where_pictures_are_to_be_kept_gives_way(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    job = enqueue(connection, generate_request(engine))
    connection.set(pictures_key(job.id), "of a type that takes no fields")
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert reloaded(job).get_status() is JobStatus.FINISHED
    assert pictures(job).keys() == {"0"}


@pytest.mark.parametrize("result_ttl_s", [60, 6000])
def test_pictures_expire_a_little_after_their_job(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork, result_ttl_s: int
) -> None:
    job = enqueue(connection, generate_request(engine), result_ttl=result_ttl_s)
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert 0 < connection.ttl(job.key) < connection.ttl(pictures_key(job.id)) <= result_ttl_s + OUTLIVE_JOB_S


def test_the_result_of_a_generation_is_the_contract_s(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    job = enqueue(connection, generate_request(engine, n=2, seed=5))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    result = GenerateResult.model_validate(reloaded(job).return_value())
    assert result == GenerateResult(seeds=(5, 6), width=8, height=8)


def test_a_stabilised_picture_is_named_in_the_result_and_counted(
    make_engine: EngineMaker, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    engine = make_engine(run_away)
    job = enqueue(connection, generate_request(engine, class_index=0, guidance=20.0, n=2))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert GenerateResult.model_validate(reloaded(job).return_value()).stabilised == (0, 1)
    assert count(metrics, "tarflow_nonfinite_total") == 2


def test_a_picture_that_is_not_finite_fails_its_job_and_is_counted(
    make_engine: EngineMaker, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    engine = make_engine(overflow)
    job = enqueue(connection, generate_request(engine, class_index=0))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert reason(job) == FailureReason.NON_FINITE
    assert pictures(job) == {}
    assert count(metrics, "tarflow_nonfinite_total") == 1


def test_a_request_for_other_weights_fails_for_that_reason(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    job = enqueue(connection, generate_request(engine, model_digest="old"))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert reason(job) == FailureReason.MODEL_CHANGED


def test_a_payload_that_breaks_the_contract_fails(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    job = enqueue(connection, generate_request(engine).model_copy(update={"n": 10**6}))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert reason(job) == FailureReason.INTERNAL


def test_outcomes_and_images_are_counted(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    for n, digest in ((2, engine.digest), (3, engine.digest), (1, "old")):
        enqueue(connection, generate_request(engine, n=n, model_digest=digest))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert count(metrics, "tarflow_jobs_total", outcome="succeeded") == 2
    assert count(metrics, "tarflow_jobs_total", outcome="failed") == 1
    assert count(metrics, "tarflow_images_total") == 5
    assert count(metrics, "tarflow_job_wait_seconds_count") == 3


def test_the_pace_is_kept_and_expires(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    key = pace_key(Kind.GENERATE, "tiny")
    enqueue(connection, generate_request(engine))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert 0 < float(connection.get(key) or 0) < 60
    assert 0 < connection.ttl(key) <= PACE_TTL_S


def test_the_pace_follows_the_jobs_slowly(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    key = pace_key(Kind.GENERATE, "tiny")
    connection.set(key, 1000)
    enqueue(connection, generate_request(engine))
    work(Handlers(Kind.GENERATE, engine, connection, metrics))
    assert 800 < float(connection.get(key) or 0) < 900


def test_a_scoring_gives_every_image_its_score_in_order(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    pixels = torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8)
    job = enqueue(connection, score_request(engine, 3), pixels)
    work(Handlers(Kind.SCORE, engine, connection, metrics), Kind.SCORE)
    result = ScoreResult.model_validate(reloaded(job).return_value())
    assert result == engine.score(score_request(engine, 3), pixels)


def test_a_scoring_whose_pixels_are_gone_says_so_in_our_log(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    job = enqueue(connection, score_request(engine, 1))
    work(Handlers(Kind.SCORE, engine, connection, metrics), Kind.SCORE)
    assert reason(job) == FailureReason.INTERNAL
    result = reloaded(job).latest_result()
    assert result is not None
    assert "the pixels are gone" in str(result.exc_string)


def test_pixels_of_a_replaced_model_s_size_fail_because_the_model_changed(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork
) -> None:
    request = score_request(engine, 1).model_copy(update={"model_digest": "old"})
    job = enqueue(connection, request, torch.zeros(1, 1, 28, 28, dtype=torch.uint8))
    work(Handlers(Kind.SCORE, engine, connection, metrics), Kind.SCORE)
    assert reason(job) == FailureReason.MODEL_CHANGED
