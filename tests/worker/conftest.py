"""Tiny engines with random weights, and a real Redis, for every test of `worker`.

Owns what "tiny" means here and the life of the test Redis. Knows no law.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from redis import Redis
from rq import Queue
from rq.job import Job

from model import TarFlow, TarFlowConfig, save
from model.card import Card, SamplingDefaults
from service.embedded_redis import embedded_redis
from worker.attendant import Duty
from worker.batch_worker import BatchHandler, BatchWorker
from worker.contract import GenerateRequest, Kind, queue_name
from worker.engine import Engine, Pictures
from worker.handlers import Handlers
from worker.job_log import JobLog
from worker.made import Made, Outcome
from worker.metrics import WorkerMetrics
from worker.served_job import ServedJob

OUTPUT_STD = 0.02  # small log-scales: samples stay finite and mostly inside [-1, 1]
EMBEDDING_STD = 1.0  # classes far apart: guidance has something to do
CLASS_NAMES = ("cat", "dog", "owl")
TINY: dict[str, Any] = {
    "image_size": 8,
    "patch_size": 4,
    "in_channels": 1,
    "channels": 16,
    "head_dim": 16,
    "blocks": 2,
    "layers_per_block": 1,
    "num_classes": 3,
    "noise_std": 0.1,
}

Edit = Callable[[TarFlow], None]
CheckpointMaker = Callable[..., Path]
EngineMaker = Callable[..., Engine]
QueueWork = Callable[..., BatchWorker]
JobHandler = Callable[[ServedJob, dict[str, Any]], dict[str, Any]]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, a seed of the test's own, and no settings from outside."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name in os.environ:
        if name.startswith("TARFLOW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> CheckpointMaker:
    """A maker of checkpoint folders called `tiny`: TINY with changes, random weights, then `edit`."""

    def make(edit: Edit | None = None, sampling: SamplingDefaults | None = None, **changes: object) -> Path:
        flow = TarFlow(TarFlowConfig(**TINY | changes))
        with torch.no_grad():
            for block in flow.blocks:
                block.proj_out.weight.normal_(std=OUTPUT_STD)
                if flow.config.num_classes:
                    block.class_embed.normal_(std=EMBEDDING_STD)
            if edit:
                edit(flow)
        names = CLASS_NAMES if flow.config.num_classes == len(CLASS_NAMES) else ()
        folder = tmp_path / "checkpoints" / "tiny"
        save(flow, folder, Card(class_names=names, sampling=sampling or SamplingDefaults(guidance=2.0)))
        return folder

    return make


@pytest.fixture
def make_engine(make_checkpoint: CheckpointMaker) -> EngineMaker:
    """A maker of engines on such checkpoints."""

    def make(*arguments: Any, **changes: Any) -> Engine:
        return Engine.start("tiny", str(make_checkpoint(*arguments, **changes)), "cpu")

    return make


@pytest.fixture
def engine(make_engine: EngineMaker) -> Engine:
    """The plain tiny engine."""
    return make_engine()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of the tests' own."""
    with embedded_redis() as url:
        yield url


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    """That Redis, empty."""
    with Redis.from_url(redis_url, socket_timeout=60) as client:
        client.flushdb()
        yield client


@pytest.fixture
def work(connection: Redis) -> Iterator[QueueWork]:
    """Do what is queued for a kind of work on `tiny`, in this process; the signal handlers are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def until_empty(
        handler: JobHandler | Handlers, kind: Kind = Kind.GENERATE, max_cost: int = 1, batches: bool = False
    ) -> BatchWorker:
        together: Any = handler if batches or isinstance(handler, Handlers) else one_by_one(handler)
        metrics = handler.metrics if isinstance(handler, Handlers) else WorkerMetrics()
        duty = Duty(metrics, JobLog(), look=lambda _since_s: None)
        worker = BatchWorker(connection, kind, "tiny", together, max_cost, window_s=0, attendant=duty)
        worker.work(burst=True, logging_level="CRITICAL")
        return worker

    yield until_empty
    for number, handler in before.items():
        signal.signal(number, handler)


def one_by_one(handler: JobHandler) -> BatchHandler:
    """A handler of batches that does its jobs one after the other; what one raises is its own."""

    def handle(jobs: Sequence[ServedJob], _meanwhile: Callable[[], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for job in jobs:
            try:
                outcomes.append(Made(handler(job, job.args[0])))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    return handle


def generate_request(engine: Engine, **changes: Any) -> GenerateRequest:
    """A request the engine takes, with changes."""
    fields: dict[str, Any] = {
        "model": engine.name,
        "model_digest": engine.digest,
        "class_index": 1,
        "guidance": 2.0,
        "n": 1,
        "seed": 7,
        "denoise": True,
        "attention_temperature": 1.0,
    }
    return GenerateRequest(**fields | changes)


def made(engine: Engine, *requests: GenerateRequest) -> list[Pictures]:
    """The pictures of requests, all of which succeed."""
    results = engine.generate(requests)
    for result in results:
        assert isinstance(result, Pictures)
    return [result for result in results if isinstance(result, Pictures)]


def reloaded(job: Job) -> Job:
    """The job as Redis now has it."""
    return Job.fetch(job.id, connection=job.connection, serializer="json")


def run_away(flow: TarFlow) -> None:
    """Give class 0 such a log-scale that linear guidance of 20 overflows and the corrected rule does not."""
    scale_class(flow, log_scale=9.0)


def overflow(flow: TarFlow) -> None:
    """Give class 0 a log-scale that overflows under every rule."""
    scale_class(flow, log_scale=100.0)


def scale_class(flow: TarFlow, log_scale: float) -> None:
    """Let class 0 alone, through the first channel, decide the log-scales."""
    for block in flow.blocks:
        block.class_embed[:, 0, 0] = torch.tensor([10.0, 0.0, 0.0])
        block.proj_in.weight[0] = 0.0
        block.proj_out.weight[: flow.config.patch_dims] = 0.0
        block.proj_out.weight[: flow.config.patch_dims, 0] = log_scale / 10


@pytest.fixture
def model(make_checkpoint: CheckpointMaker) -> str:
    """The path of the tiny checkpoint."""
    return str(make_checkpoint())


@pytest.fixture
def queue(connection: Redis) -> Queue:
    """The queue of generations."""
    return Queue(queue_name(Kind.GENERATE, "tiny"), connection=connection, serializer="json", job_class=ServedJob)


@pytest.fixture
def job(queue: Queue) -> Job:
    """A job that waits."""
    return queue.enqueue("generate", {}, result_ttl=60)
