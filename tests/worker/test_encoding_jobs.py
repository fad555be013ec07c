"""Laws of the forward passes of a batch of pictures: its work, timed, counted and tried again as sampling is."""

from typing import Any

import pytest
import torch
from redis import Redis
from rq.job import JobStatus
from torch import Tensor

from model import TarFlow
from tests.worker.conftest import QueueWork, generate_request, reloaded
from tests.worker.test_overflows import enqueue
from tests.worker.test_picture_jobs import IMAGE, content, encode, image
from worker import handlers, picture_jobs
from worker.contract import InterpolateRequest, Kind, pace_key
from worker.engine import Engine
from worker.handlers import Handlers
from worker.metrics import WorkerMetrics
from worker.way_back import noise_of

PASS_S = 1000.0


class Clock:
    """A clock that a forward pass moves, and nothing else."""

    now_s = 0.0

    def perf_counter(self) -> float:
        """What it shows."""
        return self.now_s

    def __call__(self, *arguments: Any) -> Tensor:
        """A forward pass."""
        self.now_s += PASS_S
        return noise_of(*arguments)


@pytest.fixture
def metrics() -> WorkerMetrics:
    """A worker's, all at zero."""
    return WorkerMetrics()


def interpolate(engine: Engine, n: int) -> InterpolateRequest:
    """A request for so many pictures between two images."""
    return InterpolateRequest(model="tiny", model_digest=engine.digest, class_index=1, n=n, ends=(IMAGE, IMAGE))


def test_the_forward_passes_of_a_batch_are_part_of_its_time_and_of_the_pace(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(handlers, "time", clock)
    monkeypatch.setattr(picture_jobs, "noise_of", clock)
    enqueue(connection, encode(engine), content(image()))
    enqueue(connection, interpolate(engine, n=4), content(image(1)) + content(image(2)))
    work(Handlers(Kind.GENERATE, engine, connection, metrics), max_cost=8, batches=True)
    labels = {"model": "tiny", "kind": "generate"}
    names = ("tarflow_batch_duration_seconds_sum", "tarflow_batch_size_sum", "tarflow_images_total")
    assert [metrics.registry.get_sample_value(name, labels) for name in names] == [3 * PASS_S, 5, 5]
    assert float(connection.get(pace_key(Kind.GENERATE, "tiny")) or 0) > 0


def test_jobs_beside_a_forward_pass_that_does_not_fit_are_done_again_alone(
    engine: Engine, connection: Redis, metrics: WorkerMetrics, work: QueueWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [torch.OutOfMemoryError("CUDA out of memory")]

    def encode_or_not(flow: TarFlow, pixels: Tensor, class_index: int) -> Tensor:
        if failures:
            raise failures.pop()
        return noise_of(flow, pixels, class_index)

    monkeypatch.setattr(picture_jobs, "noise_of", encode_or_not)
    jobs = [
        enqueue(connection, encode(engine), content(image())),
        enqueue(connection, generate_request(engine), b""),
    ]
    work(Handlers(Kind.GENERATE, engine, connection, metrics), max_cost=8, batches=True)
    assert [reloaded(job).get_status() for job in jobs] == [JobStatus.FINISHED] * 2
