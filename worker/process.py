"""A worker process from start to stop.

Owns the order: signals, Redis, weights, sign of life, metrics, jobs. Knows nothing of what a
job holds.
"""

import logging
import os
import signal
import sys
import time
from types import FrameType

import torch
from prometheus_client import start_http_server
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.batch_worker import BatchWorker
from worker.connection import connect
from worker.contract import Kind, model_name
from worker.engine import Engine
from worker.handlers import Handlers
from worker.metrics import WorkerMetrics
from worker.presence import presence
from worker.settings import WorkerSettings

REDIS_PAUSE_S = 1.0
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

log = logging.getLogger(__name__)


def run_worker(settings: WorkerSettings) -> int:
    """Serve jobs until told to stop; 0 after that, 1 if the work ended by itself.

    Raises:
        CheckpointError: The model cannot be loaded.
    """
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    # What torch computes is bit-identical in any batch on one thread; the sampler has threads of its own.
    torch.set_num_threads(1)
    checkpoint = settings.models.split(",")[0].strip()
    engine = Engine.start(model_name(checkpoint), checkpoint, settings.device)
    if settings.kind is Kind.GENERATE:
        engine = engine.warmed_up(settings.threads or available_cores())
    metrics = WorkerMetrics()
    metrics.model_info.labels(engine.name, engine.digest, str(engine.device), "float32").set(1)
    _serve_metrics(metrics, settings.metrics_port)
    connection = connect(settings.redis_url)
    _await_redis(connection)
    handlers = Handlers(settings.kind, engine, connection, metrics, settings.result_ttl_s)
    worker = BatchWorker(
        connection, settings.kind, engine.name, handlers, settings.max_batch, settings.batch_window_ms / 1e3,
        on_end=handlers.count_end,
    )  # fmt: skip
    log.info("serving %s jobs of %s on %s", settings.kind, engine.name, engine.device)
    with presence(connect(settings.redis_url), worker.name, settings.kind, engine.facts()):
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


def _serve_metrics(metrics: WorkerMetrics, port: int) -> None:
    if not port:
        return
    try:
        start_http_server(port, registry=metrics.registry)
    except OSError as error:
        log.warning("no metrics: port %d cannot be had (%s); set TARFLOW_METRICS_PORT", port, error)


def _leave(number: int, _frame: FrameType | None) -> None:
    """Stop while nothing runs yet; once jobs are served, RQ's own handlers finish the one at hand."""
    log.info("told to stop by signal %d before serving", number)
    sys.exit(0)
