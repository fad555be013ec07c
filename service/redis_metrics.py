"""What Prometheus is told of Redis itself.

Owns the reading of its memory when it is asked. Knows nothing of queues.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError


@dataclass(frozen=True)
class RedisCollector(Collector):
    """Whether Redis answers, and how full it is."""

    connection: Redis

    def describe(self) -> list[GaugeMetricFamily]:
        """The families without samples, so that registering reads nothing."""
        return [_up(), _used(), _limit()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What Redis says now; only that it is away, if it is."""
        try:
            memory = self.connection.info("memory")
        except RedisError:
            yield _up(0)
            return
        yield _up(1)
        yield _used(memory["used_memory"])
        yield _limit(memory["maxmemory"])


def _up(value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily("tarflow_redis_up", "Whether Redis answers", value)


def _used(value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily("tarflow_redis_memory_used_bytes", "Memory that Redis uses", value)


def _limit(value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily("tarflow_redis_memory_max_bytes", "Memory that Redis may use, 0 = any", value)
