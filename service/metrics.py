"""What the API tells Prometheus.

Owns its metrics' names and labels, the sum over processes, and the reading of the queues when it is
asked. Knows nothing of routes beyond their templates.
"""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import STATUS
from service.redis_metrics import RedisCollector
from worker.contract import PRESENCE_TTL_S, JobState, Kind, job_key, queue_name, workers_key

# Prometheus' client library keeps the counts of all processes in files there, where it is set.
SHARED_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
QUEUE_LABELS = ("model", "kind")
# Why work is turned away: the errors that answer 429 or 503.
REASONS = tuple(error.__name__ for error, (status, _) in STATUS.items() if status in (429, 503))
# As nginx says of a client that hung up before its answer.
CLIENT_GONE = 499
# A client may invent methods, and each would be a label for ever.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ServiceMetrics:
    """The API's metrics; `registry` is what is served: of all processes, where there are several."""

    def __init__(self, connection: Redis, models: tuple[str, ...]) -> None:
        self.registry = registry = CollectorRegistry()
        if SHARED_FOLDER_VARIABLE in os.environ:
            MultiProcessCollector(self.registry)
            registry = CollectorRegistry()
        self.requests = Counter(
            "tarflow_http_requests", "Requests answered", ("method", "route", "status"), registry=registry
        )
        self.duration = Histogram(
            "tarflow_http_request_duration_seconds",
            "Time to the end of an answer",
            ("method", "route"),
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )
        # Beside those that workers count: a queued job that is cancelled comes to none of them.
        self.jobs = Counter("tarflow_jobs", "Jobs ended", (*QUEUE_LABELS, "outcome"), registry=registry)
        for model in models:
            for kind in Kind:
                self.jobs.labels(model, kind, JobState.CANCELLED)
        self.rejected = Counter("tarflow_rejected", "Work turned away", ("reason",), registry=registry)
        # A rate sees only a counter that was there before: the first refusal must not be the one it misses.
        for reason in REASONS:
            self.rejected.labels(reason)
        self.registry.register(QueueCollector(connection, models))
        self.registry.register(RedisCollector(connection))


@dataclass(frozen=True)
class QueueCollector(Collector):
    """The state of the queues, read from Redis at each scrape; nothing while Redis is away."""

    connection: Redis
    models: tuple[str, ...]

    def describe(self) -> list[GaugeMetricFamily]:
        """The families without samples, so that registering reads nothing."""
        return list(_families().values())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families with a sample for every model and kind."""
        families = _families()
        try:
            for model in self.models:
                for kind in Kind:
                    for name, value in self._read(kind, model).items():
                        families[name].add_metric((model, kind), value)
        except RedisError:
            return
        yield from families.values()

    def _read(self, kind: Kind, model: str) -> dict[str, float]:
        name, now_s = queue_name(kind, model), self._now_s()
        with self.connection.pipeline(transaction=False) as pipeline:
            pipeline.llen(f"rq:queue:{name}")
            pipeline.lindex(f"rq:queue:{name}", 0)
            pipeline.zcard(f"rq:wip:{name}")
            pipeline.zcount(workers_key(kind, model), now_s - PRESENCE_TTL_S, "+inf")
            depth, oldest, running, workers = pipeline.execute()
        enqueued = self.connection.hget(job_key(oldest.decode()), "enqueued_at") if oldest else None
        age_s = max(0.0, now_s - _unix_s(enqueued)) if isinstance(enqueued, bytes) else 0.0
        return {"depth": depth, "age": age_s, "running": running, "workers": workers}

    def _now_s(self) -> float:
        seconds, microseconds = self.connection.time()
        return float(seconds + microseconds / 1e6)


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        "depth": GaugeMetricFamily("tarflow_queue_depth", "Jobs waiting", labels=QUEUE_LABELS),
        "age": GaugeMetricFamily(
            "tarflow_queue_oldest_age_seconds", "Age of the oldest waiting job", labels=QUEUE_LABELS
        ),
        "running": GaugeMetricFamily("tarflow_jobs_running", "Jobs being worked on", labels=QUEUE_LABELS),
        "workers": GaugeMetricFamily("tarflow_workers", "Live workers", labels=QUEUE_LABELS),
    }


def _unix_s(timestamp: bytes) -> float:
    """RQ's ISO timestamp as Unix time."""
    return datetime.fromisoformat(timestamp.decode()).timestamp()


@dataclass(frozen=True)
class MeasuredApp:
    """ASGI middleware that counts and times answers by route template."""

    app: ASGIApp
    metrics: ServiceMetrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when its answer has ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Every fault is answered further in: where nothing is, the client has hung up.
        status, started_s = CLIENT_GONE, time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note)
        finally:
            route = route_template(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.metrics.requests.labels(method, route, str(status)).inc()
            self.metrics.duration.labels(method, route).observe(time.perf_counter() - started_s)


def route_template(scope: Scope) -> str:
    """The route's template: paths themselves would make a label for every job."""
    route: Any = scope.get("route")
    if route is not None:
        return getattr(route, "path", "unmatched")
    # Refused before it was routed, without a key or too often; or the schema.
    return next((path for path, pattern in _templates(scope["app"]) if pattern.match(scope["path"])), "unmatched")


@lru_cache(maxsize=8)
def _templates(app: FastAPI) -> list[tuple[str, re.Pattern[str]]]:
    # The schema itself is no route of the framework's that a request would name.
    schema = [app.openapi_url] if app.openapi_url else []
    return [(path, compile_path(path)[0]) for path in (*app.openapi()["paths"], *schema)]
