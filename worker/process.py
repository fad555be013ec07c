"""A worker process from start to stop.

Owns the order: signals, probes, weights, Redis, sign of life, jobs. Knows nothing of what a
job holds.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import torch
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from model.device import device_name
from telemetry.log_lines import configure
from telemetry.spans import collected_spans
from worker.attendant import Duty
from worker.batch_worker import BatchWorker
from worker.canary import Canary, CanaryFailed
from worker.connection import connect
from worker.contract import Kind, model_name
from worker.engine import Engine
from worker.handlers import Handlers
from worker.health import Health
from worker.health_port import health_port
from worker.job_log import JobLog
from worker.metrics import WorkerMetrics
from worker.presence import presence
from worker.settings import WorkerSettings

REDIS_PAUSE_S = 1.0

log = logging.getLogger(__name__)


def run_worker(settings: WorkerSettings) -> int:
    """Serve jobs until told to stop; 0 after that, 1 if the work ended by itself.

    Raises:
        CheckpointError: The model cannot be loaded.
    """
    configure(settings.log_format)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    # What torch computes is bit-identical in any batch on one thread; the sampler has threads of its own.
    torch.set_num_threads(1)
    metrics, health = WorkerMetrics(), Health()
    with _probed(settings, health, metrics):
        engine = _load(settings)
        metrics.model_info.labels(engine.name, engine.digest, str(engine.device), "float32").set(1)
        metrics.calibrations_left_out.labels(engine.name).set(len(engine.calibrations_left_out))
        try:
            health.canary = canary = Canary.hatch(engine.flow, engine.sampler)
        except CanaryFailed as error:
            log.critical("not serving: %s", error)
            return 1
        return _serve(settings, engine, canary, metrics, health)


def _load(settings: WorkerSettings) -> Engine:
    checkpoint = settings.models.split(",")[0].strip()
    scores = settings.kind is Kind.SCORE
    engine = Engine.start(model_name(checkpoint), checkpoint, settings.device, judges=scores)
    return engine.warmed_up(settings.threads or available_cores()) if not scores else engine


def _serve(settings: WorkerSettings, engine: Engine, canary: Canary, metrics: WorkerMetrics, health: Health) -> int:
    """Serve jobs until told to stop; 0 after that, 1 if the work ended by itself."""
    connection = connect(settings.redis_url)
    _await_redis(connection)
    handlers = Handlers(settings.kind, engine, connection, metrics)
    worker = BatchWorker(
        connection, settings.kind, engine.name, handlers, settings.max_batch, settings.batch_window_ms / 1e3,
        Duty(metrics, JobLog(collected_spans("tarflow-worker")), canary.look_if_idle),
    )  # fmt: skip
    health.worker = worker
    log.info("serving %s jobs of %s on %s", settings.kind, engine.name, engine.device)
    sign = connect(settings.redis_url)
    with presence(sign, worker.name, settings.kind, engine.facts(), device_name(engine.device), health.redis_answered):
        worker.work(logging_level="WARNING")
    return 0 if worker.was_told_to_stop else 1


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _await_redis(connection: Redis) -> None:
    """Wait for a Redis that is not there yet; a signal ends the wait."""
    while True:
        try:
            connection.ping()
            return
        except (RedisConnectionError, RedisTimeoutError) as error:
            log.warning("waiting for Redis: %s", error)
            time.sleep(REDIS_PAUSE_S)


@contextmanager
def _probed(settings: WorkerSettings, health: Health, metrics: WorkerMetrics) -> Iterator[None]:
    """Answer probes while the block lasts, from before the weights are loaded; a port that is taken is done without."""
    host, port = settings.metrics_host, settings.metrics_port
    with ExitStack() as stack:
        if port:
            try:
                stack.enter_context(health_port(host, port, health, metrics.registry))
            except OSError as error:
                log.warning("no metrics: port %d cannot be had (%s); set TARFLOW_METRICS_PORT", port, error)
        yield


def _leave(number: int, _frame: FrameType | None) -> None:
    """Stop while nothing runs yet; once jobs are served, RQ's own handlers finish the one at hand."""
    log.info("told to stop by signal %d before serving", number)
    sys.exit(0)
