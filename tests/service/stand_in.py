"""A worker whose answers are known beforehand, and the model it pretends to hold.

Owns its facts, its pictures and its scores. Runs jobs through the real queue worker, in the
thread that asks it to. Knows no law.
"""

import struct
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from redis import Redis
from rq.job import Job

from service.job_record import REQUESTS
from tests.service.image_files import encoded, plain
from worker.attendant import Duty
from worker.batch_worker import BatchWorker
from worker.contract import (
    CalibrationFacts,
    ClassScore,
    DecodeRequest,
    Direction,
    EncodeRequest,
    EncodeResult,
    Frozen,
    GenerateRequest,
    GenerateResult,
    ImageScore,
    InterpolateRequest,
    Kind,
    ModelDefaults,
    ModelFacts,
    Request,
    ScoreRequest,
    ScoreResult,
    Verdict,
    VerifyRequest,
    VerifyResult,
    facts_key,
    input_key,
    pictures_key,
    workers_key,
)
from worker.job_log import JobLog
from worker.made import Made, Outcome
from worker.metrics import WorkerMetrics
from worker.served_job import ServedJob

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FACTS = ModelFacts(
    name="digits",
    digest="d1" * 32,
    image_size=28,
    in_channels=1,
    dims=784,
    class_names=DIGITS,
    num_classes=10,
    noise_std=0.1,
    noise_type="gaussian",
    density="noise-smoothed, noise_std 0.1",
    architecture="[patch 4, 128 channels, 4 x 2]",
    defaults=ModelDefaults(guidance=1.5, denoise=True, attention_temperature=1.0),
    patch_grid=(7, 7),
    metrics={"bayes_accuracy": 0.9},
    measured_by={"bayes_accuracy": "tarflow evaluate --record"},
    command="tarflow train",
    hardware="an abacus",
    training_hours=1.5,
    intended_use="tests",
    limits=("no faces",),
)
CALIBRATIONS = tuple(
    CalibrationFacts(
        name=name,
        digest=f"c{index}" * 32,
        n=99,
        created_at="2026-01-01T00:00:00+00:00",
        data="digits",
        thresholds={"none": {"0.01": 7.0}},
        score_quantiles={"none": (1.0, 2.0)},
    )
    for index, name in enumerate(("default", "night"))
)
CALIBRATED = FACTS.model_copy(update={"calibrations": CALIBRATIONS})
VERDICT = Verdict(
    anomaly_score=9.0, percentile=100.0, p_value=0.01, is_anomaly=True, direction=Direction.UNUSUAL_LATENT
)
HEAT_SEED = 77
LONGEST_IDLE_S = 20  # ends a test whose request was never queued
AN_HOUR_S = 3600.0


class _InThisThread(BatchWorker):
    """Leaves the signal handlers to pytest, and takes no commands, for which RQ has a thread that is slow to end."""

    def _install_signal_handlers(self) -> None:
        pass

    def subscribe(self) -> None:
        pass


@dataclass(frozen=True)
class StandIn:
    """A worker of every kind for one model; each of its jobs ends in `failure` where there is one."""

    connection: Redis
    facts: ModelFacts = FACTS
    failure: Exception | None = None

    def announce(self, *kinds: Kind) -> None:
        """Be alive for the next hour, whatever becomes of the test's pace."""
        self.connection.set(facts_key(self.facts.name), self.facts.model_dump_json())
        for kind in kinds:
            self.connection.zadd(workers_key(kind, self.facts.name), {"stand-in": time.time() + AN_HOUR_S})

    def work(self, kind: Kind, jobs: int = 1) -> None:
        """Wait for jobs of a kind and do them."""
        duty = Duty(WorkerMetrics(), JobLog(), look=lambda _since_s: None)
        worker = _InThisThread(self.connection, kind, self.facts.name, self, 1, 0, duty)
        worker.work(max_jobs=jobs, max_idle_time=LONGEST_IDLE_S, logging_level="CRITICAL")

    def work_while(self, kind: Kind, post: Callable[[], httpx.Response]) -> httpx.Response:
        """What a request that waits is answered while its job is done."""
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(post)
            self.work(kind)
            return answer.result()

    def __call__(self, jobs: Sequence[ServedJob], _meanwhile: Callable[[], None]) -> list[Outcome]:
        """Do jobs as the handler of both kinds."""
        return [self.failure or Made(self._do(job, job.args[0])) for job in jobs]

    def _do(self, job: Job, payload: dict[str, Any]) -> dict[str, Any]:
        request = REQUESTS.validate_python(payload)
        assert job.func_name == (Kind.SCORE if isinstance(request, ScoreRequest) else Kind.GENERATE)
        result: Frozen
        if isinstance(request, ScoreRequest):
            result = self._score(job, request)
        elif isinstance(request, GenerateRequest):
            result = self._generate(job, request)
        else:
            result = self._there_and_back(job, request)
        return result.model_dump(mode="json")

    def _there_and_back(
        self, job: Job, request: EncodeRequest | DecodeRequest | InterpolateRequest | VerifyRequest
    ) -> Frozen:
        content = self.connection.get(input_key(job.id))
        assert isinstance(content, bytes)
        if isinstance(request, VerifyRequest):
            # It recomputes black pictures.
            differing, name = sum(value > 0 for value in content), self.facts.class_name(request.claim.class_index)
            size = {"width": 28, "height": 28, "channels": 1}
            if len(content) != 784:
                return VerifyResult(class_name=name, **size)
            return VerifyResult(class_name=name, **size, max_difference=max(content), differing_values=differing)
        if isinstance(request, EncodeRequest):
            self.connection.hset(pictures_key(job.id), mapping={"latents": latents(content)})
            return EncodeResult(max_abs_error=0.5, rms_error=0.25, changed_values=len(content))
        n = request.n if isinstance(request, InterpolateRequest) else 1
        files: dict[Any, Any] = {str(index): picture(index) for index in range(n)}
        if n > 1:
            files["sheet"] = sheet(n)
        self.connection.hset(pictures_key(job.id), mapping=files)
        return GenerateResult(seeds=(), width=28, height=28)

    def _generate(self, job: Job, request: GenerateRequest) -> GenerateResult:
        files: dict[Any, Any] = {str(index): picture(seed) for index, seed in enumerate(request.seeds)}
        if request.n > 1:
            files["sheet"] = sheet(request.n)
        self.connection.hset(pictures_key(job.id), mapping=files)
        return GenerateResult(seeds=request.seeds, width=28, height=28)

    def _score(self, job: Job, request: ScoreRequest) -> ScoreResult:
        content = self.connection.get(input_key(job.id))
        assert isinstance(content, bytes)
        if request.heat_map:
            self.connection.hset(pictures_key(job.id), mapping={"0": picture(HEAT_SEED)})
        each = score(len(content) // len(request.images), request)
        return ScoreResult(scores=(each,) * len(request.images), view="none" if request.calibration else None)


class Lost(StandIn):
    """A worker whose pictures all overflow."""

    def _there_and_back(self, job: Job, request: Any) -> Frozen:
        found = super()._there_and_back(job, request)
        return EncodeResult() if isinstance(found, EncodeResult) else VerifyResult(class_name="seven")


def queued(answer: httpx.Response, redis: Redis) -> Request:
    """The request that a worker gets for what was answered so."""
    job = Job.fetch(answer.headers["X-Job-Id"], connection=redis, serializer="json")
    return REQUESTS.validate_python(job.args[0])


def picture(seed: int) -> bytes:
    """The PNG that a seed gives: one grey all over."""
    return encoded(plain("L", (28, 28), seed % 256), "PNG")


def latents(pixels: bytes) -> bytes:
    """What pixels are encoded as: each value itself."""
    return struct.pack(f"<{len(pixels)}f", *pixels)


def sheet(images: int) -> bytes:
    """The contact sheet of so many images: white, and as wide as all of them."""
    return encoded(plain("L", (28 * images, 28), 255), "PNG")


def score(pixels: int, request: ScoreRequest) -> ImageScore:
    """The score of an image: as many nats as it has pixels, one of them from log|det|."""
    alone = ImageScore(
        log_likelihood_nats=pixels,
        bits_per_dim=1.0,
        log_prior_nats=pixels - 1.0,
        log_abs_det_nats=1.0,
        verdict=VERDICT if request.calibration else None,
        patch_log_likelihood_nats=(pixels / 4,) * 4 if request.patches or request.heat_map else (),
    )
    if request.class_index != "all":
        return alone
    classes = tuple(
        ClassScore(class_index=index, log_likelihood_nats=pixels, posterior=1 / len(DIGITS))
        for index in range(len(DIGITS))
    )
    return alone.model_copy(update={"marginal_log_likelihood_nats": float(pixels), "classes": classes})
