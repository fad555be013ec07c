"""What a worker does with a job of each kind: payload in, result out, bytes beside it.

Owns the way from a job's payload to its stored result, and the metrics of that way. Knows
nothing of RQ's bookkeeping.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from redis import Redis
from rq.job import Job

from worker.contract import GenerateRequest, GenerateResult, Kind, ScoreRequest, input_key, pace_key, pictures_key
from worker.engine import Engine
from worker.errors import JobError, NonFiniteSample
from worker.images import encode_pictures
from worker.metrics import WorkerMetrics

PACE_WEIGHT = 0.2


@dataclass(frozen=True)
class Handlers:
    """The work of one worker process: `kind` is the only function its jobs may name."""

    kind: Kind
    engine: Engine
    connection: Redis
    metrics: WorkerMetrics
    result_ttl_s: int

    def __call__(self, job: Job, payload: dict[str, Any]) -> dict[str, Any]:
        """Do a job; its payload is a request's JSON, the return value a result's.

        Raises:
            JobError: The job cannot be done.
        """
        labels = (self.engine.name, self.kind)
        if job.enqueued_at is not None:
            waited_s = (datetime.now(UTC) - job.enqueued_at).total_seconds()
            self.metrics.wait.labels(*labels).observe(max(0.0, waited_s))
        started_s = time.perf_counter()
        with self._counted(labels):
            result = self._generate(job, payload) if self.kind is Kind.GENERATE else self._score(job, payload)
        self._measure_pace(time.perf_counter() - started_s)
        return result

    def _generate(self, job: Job, payload: dict[str, Any]) -> dict[str, Any]:
        request = GenerateRequest.model_validate(payload)
        with self._batch(request.n):
            (made,) = self.engine.generate([request])
        if isinstance(made, NonFiniteSample):
            self._count_non_finite(request.n)
            raise made
        self._count_non_finite(len(made.stabilised))
        files = encode_pictures(made.pixels, request, self.engine.facts())
        # Written before the job is committed as finished: a finished job always has its pictures.
        with self.connection.pipeline() as pipeline:
            pipeline.hset(pictures_key(job.id), mapping=dict(files.items()))
            pipeline.expire(pictures_key(job.id), self.result_ttl_s)
            pipeline.execute()
        height, width = made.pixels.shape[2:]
        result = GenerateResult(seeds=request.seeds, width=width, height=height, stabilised=made.stabilised)
        return result.model_dump(mode="json")

    def _score(self, job: Job, payload: dict[str, Any]) -> dict[str, Any]:
        request = ScoreRequest.model_validate(payload)
        self.engine.check_digest(request.model_digest)  # first: other weights may take pixels of another size
        config = self.engine.flow.config
        content = self.connection.get(input_key(job.id))
        if not isinstance(content, bytes):
            raise JobError("the pixels are gone: the job waited longer than they are kept")
        flat = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        pixels = flat.view(len(request.images), config.in_channels, config.image_size, config.image_size)
        with self._batch(len(request.images)):
            result = self.engine.score(request, pixels)
        return result.model_dump(mode="json")

    def _measure_pace(self, job_s: float) -> None:
        """Fold a job's duration into the average that estimates are made from."""
        key = pace_key(self.kind, self.engine.name)
        before = self.connection.get(key)
        pace_s = job_s if before is None else float(before) + PACE_WEIGHT * (job_s - float(before))
        self.connection.set(key, pace_s, ex=self.result_ttl_s)

    @contextmanager
    def _counted(self, labels: tuple[str, str]) -> Iterator[None]:
        """Count how the job ends."""
        try:
            yield
        except BaseException:
            self.metrics.jobs.labels(*labels, "failed").inc()
            raise
        self.metrics.jobs.labels(*labels, "succeeded").inc()

    @contextmanager
    def _batch(self, images: int) -> Iterator[None]:
        """Time a batch and count its images."""
        labels, started_s = (self.engine.name, self.kind), time.perf_counter()
        self.metrics.batch_size.labels(*labels).observe(images)
        yield
        self.metrics.batch_duration.labels(*labels).observe(time.perf_counter() - started_s)
        self.metrics.images.labels(*labels).inc(images)

    def _count_non_finite(self, images: int) -> None:
        self.metrics.non_finite.labels(self.engine.name, self.kind).inc(images)
