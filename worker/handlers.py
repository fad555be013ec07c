"""What a worker does with a batch of each kind: payloads in, results out, bytes beside them.

Owns the way from jobs' payloads to what is kept of them, and the metrics of that way. Knows
nothing of RQ's bookkeeping.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from pydantic import TypeAdapter
from redis import Redis
from redis.exceptions import RedisError
from torch import Tensor

from model.pixels import to_pixels
from worker.contract import GenerateRequest, Kind, PictureRequest, Request, ScoreRequest, ScoreResult, input_key
from worker.engine import Engine
from worker.errors import JobCancelled, JobError
from worker.heat_maps import draw_heat_map
from worker.images import encode_preview
from worker.made import Made, Outcome
from worker.metrics import WorkerMetrics
from worker.observer import Observer
from worker.pace import Done, note_pace
from worker.painter import Passage
from worker.picture_jobs import PaintedJob, PictureJob, paint_all
from worker.score_watch import ScoreWatch
from worker.served_job import INVALID, ServedJob

# A request and its pixels (N, C, H, W), uint8.
Scoring = tuple[ScoreRequest, Tensor]

OUTCOMES = ("succeeded", "failed", "cancelled", INVALID)

Wanted = TypeVar("Wanted")
AnyRequest = TypeVar("AnyRequest", bound=Request)
PICTURE_REQUESTS: TypeAdapter[PictureRequest] = TypeAdapter(PictureRequest)


@dataclass(frozen=True)
class Handlers:
    """The work of one worker process."""

    kind: Kind
    engine: Engine
    connection: Redis
    metrics: WorkerMetrics

    def __post_init__(self) -> None:
        """Start at 0 what may be counted: a rate misses the step from nothing to 1."""
        self._count("images", 0)
        self._count("non_finite", 0)
        for outcome in OUTCOMES:
            self._count("jobs", 0, outcome)
        if self.kind is Kind.SCORE:
            self.metrics.p_value.labels(self.engine.name)

    def __call__(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> Sequence[Outcome]:
        """Do jobs in one batch; a payload is a request's JSON, a result its answer's."""
        return self._generate(jobs) if self.kind is Kind.GENERATE else self._score(jobs, meanwhile)

    def _generate(self, jobs: Sequence[ServedJob]) -> list[Outcome]:
        def make(wanted: list[PictureJob], able: list[ServedJob]) -> list[Outcome]:
            observer = Observer(self.connection, able, self._draw)
            began_s = self._begin(sum(each.images for each in wanted))
            painted = paint_all(self.engine, wanted, observer)
            batch_s, cost = time.perf_counter() - began_s, sum(each.cost for each in painted) - observer.undone
            done = Done(sum(each.images for each in painted), cost, batch_s)
            return self._noted(done, [self._finish(each) for each in painted])

        def parse(job: ServedJob) -> PictureJob:
            request = self._checked(PICTURE_REQUESTS.validate_python(job.args[0]))
            content = None if isinstance(request, GenerateRequest) else self.connection.get(input_key(job.id))
            return PictureJob.of(request, content if isinstance(content, bytes) else None)

        return self._with_requests(jobs, parse, make)

    def _finish(self, painted: PaintedJob) -> Outcome:
        self._count("non_finite", painted.non_finite)
        answer = painted.answer(self.engine)
        if isinstance(answer, JobError):
            return answer
        result, files = answer
        return Made(result.model_dump(mode="json"), files)

    def _draw(self, passage: Passage, owner: int) -> bytes:
        return encode_preview(to_pixels(passage.of(owner), self.engine.flow.config).cpu())

    def _score(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
        def score(work: list[Scoring], able: list[ServedJob]) -> list[Outcome]:
            watch = ScoreWatch(self.connection, able, meanwhile)
            cost = sum(request.passes for request, _ in work)
            began_s = self._begin(cost)
            results = self.engine.score_all(work, watch)
            batch_s = time.perf_counter() - began_s - watch.away_s
            scored = [each for each in results if isinstance(each, ScoreResult)]
            self._observe_p_values(scored)
            done = Done(sum(len(each.scores) for each in scored), cost - watch.undone, batch_s)
            return self._noted(done, [self._kept(*each) for each in zip(work, results, strict=True)])

        def parse(job: ServedJob) -> Scoring:
            request = self._checked(ScoreRequest.model_validate(job.args[0]))
            return request, self._pixels(job, request)

        return self._with_requests(jobs, parse, score)

    def _kept(self, scoring: Scoring, result: ScoreResult | JobCancelled) -> Outcome:
        if isinstance(result, JobCancelled):
            return result
        request, pixels = scoring
        files = {}
        if request.heat_map:
            usual = self.engine.judge(request)
            files["0"] = draw_heat_map(pixels[0], result.scores[0], request, self.engine.facts(), usual)
        return Made(result.model_dump(mode="json"), files)

    def _observe_p_values(self, results: Iterable[ScoreResult]) -> None:
        for verdict in (score.verdict for result in results for score in result.scores):
            if verdict is not None:
                self.metrics.p_value.labels(self.engine.name).observe(verdict.p_value)

    def _pixels(self, job: ServedJob, request: ScoreRequest) -> Tensor:
        content = self.connection.get(input_key(job.id))
        if not isinstance(content, bytes):
            raise JobError("the pixels are gone: the job waited longer than they are kept")
        config = self.engine.flow.config
        flat = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        return flat.view(len(request.images), config.in_channels, config.image_size, config.image_size)

    def _with_requests(
        self,
        jobs: Sequence[ServedJob],
        parse: Callable[[ServedJob], Wanted],
        work: Callable[[list[Wanted], list[ServedJob]], list[Outcome]],
    ) -> list[Outcome]:
        """Do `work` on the jobs that can be parsed; the others fail alone."""
        requests: list[Wanted] = []
        outcomes: dict[str, Outcome] = {}
        for job in jobs:
            try:
                requests.append(parse(job))
            except RedisError:  # Not the job's fault: the batch is tried again.
                raise
            except Exception as error:
                outcomes[job.id] = error
        able = [job for job in jobs if job.id not in outcomes]
        done = work(requests, able) if able else []
        outcomes |= dict(zip((job.id for job in able), done, strict=True))
        return [outcomes[job.id] for job in jobs]

    def _checked(self, request: AnyRequest) -> AnyRequest:
        """The request, if it was filled in for these weights; else raises ModelChanged."""
        self.engine.check(request)
        return request

    def _begin(self, cost: int) -> float:
        """Tell how large a batch is; when it begins."""
        self.metrics.batch_size.labels(self.engine.name, self.kind).observe(cost)
        return time.perf_counter()

    def _noted(self, done: Done, outcomes: list[Outcome]) -> list[Outcome]:
        """Tell how long a batch took, and count its images; its pace goes the way of the first that made something."""
        self.metrics.batch_duration.labels(self.engine.name, self.kind).observe(done.batch_s)
        self._count("images", done.images)
        for index, each in enumerate(outcomes):
            if isinstance(each, Made) and done.cost:
                pace = partial(note_pace, kind=self.kind, model=self.engine.name, done=done)
                return [*outcomes[:index], replace(each, also=pace), *outcomes[index + 1 :]]
        return outcomes

    def _count(self, name: str, amount: int, *more: str) -> None:
        getattr(self.metrics, name).labels(self.engine.name, self.kind, *more).inc(amount)
