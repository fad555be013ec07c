"""What a worker does with a batch of each kind: payloads in, results out, bytes beside them.

Owns the way from jobs' payloads to their stored results, and the metrics of that way. Knows
nothing of RQ's bookkeeping.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import torch
from pydantic import TypeAdapter
from redis import Redis
from redis.exceptions import RedisError
from torch import Tensor

from model.pixels import to_pixels
from worker.batch_worker import Outcome
from worker.contract import GenerateRequest, Kind, PictureRequest, Request, ScoreRequest, ScoreResult, input_key
from worker.engine import Engine
from worker.errors import JobCancelled, JobError
from worker.heat_maps import draw_heat_map
from worker.images import encode_preview
from worker.metrics import WorkerMetrics
from worker.observer import Observer
from worker.pace import Done, note_pace
from worker.painter import Passage
from worker.picture_jobs import PaintedJob, PictureJob, paint_all
from worker.picture_store import count_results, store_pictures
from worker.score_watch import ScoreWatch
from worker.served_job import INVALID, ServedJob

# A request and its pixels (N, C, H, W), uint8.
Scoring = tuple[ScoreRequest, Tensor]

OUTCOMES = ("succeeded", "failed", "cancelled", INVALID)

log = logging.getLogger(__name__)
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
    result_ttl_s: int

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
        self._observe_waits(jobs)
        return self._generate(jobs) if self.kind is Kind.GENERATE else self._score(jobs, meanwhile)

    def _generate(self, jobs: Sequence[ServedJob]) -> list[Outcome]:
        def make(wanted: list[PictureJob], able: list[ServedJob]) -> list[Outcome]:
            observer = Observer(self.connection, able, self._draw)
            began_s = self._begin(sum(each.images for each in wanted))
            painted = paint_all(self.engine, wanted, observer)
            batch_s, cost = time.perf_counter() - began_s, sum(each.cost for each in painted) - observer.undone
            self._note(Done(sum(each.images for each in painted), cost, batch_s))
            files: dict[str, Mapping[str, bytes]] = {}
            outcomes = [self._finish(*each, files) for each in zip(able, painted, strict=True)]
            # Written before the jobs are committed as finished: a finished job always has its pictures.
            store_pictures(self.connection, files, self.result_ttl_s)
            return outcomes

        def parse(job: ServedJob) -> PictureJob:
            request = self._checked(PICTURE_REQUESTS.validate_python(job.args[0]))
            content = None if isinstance(request, GenerateRequest) else self.connection.get(input_key(job.id))
            return PictureJob.of(request, content if isinstance(content, bytes) else None)

        return self._with_requests(jobs, parse, make)

    def _finish(self, job: ServedJob, painted: PaintedJob, files: dict[str, Mapping[str, bytes]]) -> Outcome:
        """The result of a job, what it made among the `files`."""
        self._count("non_finite", painted.non_finite)
        answer = painted.answer(self.engine)
        if isinstance(answer, JobError):
            return answer
        result, files[job.id] = answer
        return result.model_dump(mode="json")

    def _draw(self, passage: Passage, owner: int) -> bytes:
        return encode_preview(to_pixels(passage.of(owner), self.engine.flow.config).cpu())

    def _score(self, jobs: Sequence[ServedJob], meanwhile: Callable[[], None]) -> list[Outcome]:
        def score(work: list[Scoring], able: list[ServedJob]) -> list[Outcome]:
            made = self._scored(work, ScoreWatch(self.connection, able, meanwhile))
            results = {job.id: each for job, each in zip(able, made, strict=True) if isinstance(each, ScoreResult)}
            self._observe_p_values(results.values())
            maps = {
                job.id: {"0": self._heat_map(*each, results[job.id])}
                for job, each in zip(able, work, strict=True)
                if each[0].heat_map and job.id in results
            }
            store_pictures(self.connection, maps, self.result_ttl_s)
            kept = {job_id: result.model_dump(mode="json") for job_id, result in results.items()}
            count_results(self.connection, kept, self.result_ttl_s)
            return [each if isinstance(each, JobError) else kept[job.id] for job, each in zip(able, made, strict=True)]

        def parse(job: ServedJob) -> Scoring:
            request = self._checked(ScoreRequest.model_validate(job.args[0]))
            return request, self._pixels(job, request)

        return self._with_requests(jobs, parse, score)

    def _scored(self, work: list[Scoring], watch: ScoreWatch) -> list[ScoreResult | JobCancelled]:
        cost = sum(request.passes for request, _ in work)
        began_s = self._begin(cost)
        results = self.engine.score_all(work, watch)
        images = sum(len(result.scores) for result in results if isinstance(result, ScoreResult))
        self._note(Done(images, cost - watch.undone, time.perf_counter() - began_s - watch.away_s))
        return results

    def _heat_map(self, request: ScoreRequest, pixels: Tensor, result: ScoreResult) -> bytes:
        usual = self.engine.judge(request)
        return draw_heat_map(pixels[0], result.scores[0], request, self.engine.facts(), usual)

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

    def _note(self, done: Done) -> None:
        """Tell how long a batch took, count its images, and fold its pace into what estimates are made from."""
        self.metrics.batch_duration.labels(self.engine.name, self.kind).observe(done.batch_s)
        self._count("images", done.images)
        if not done.cost:
            return
        try:
            note_pace(self.connection, self.kind, self.engine.name, done, self.result_ttl_s)
        except RedisError as error:  # An estimate is not worth a batch.
            log.warning("pace not noted: %s", error)

    def _observe_waits(self, jobs: Sequence[ServedJob]) -> None:
        for job in jobs:
            if job.enqueued_at is not None:
                waited_s = (datetime.now(UTC) - job.enqueued_at).total_seconds()
                self.metrics.wait.labels(self.engine.name, self.kind).observe(max(0.0, waited_s))

    def _count(self, name: str, amount: int, *more: str) -> None:
        getattr(self.metrics, name).labels(self.engine.name, self.kind, *more).inc(amount)
