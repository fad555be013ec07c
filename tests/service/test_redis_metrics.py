"""Laws of what the API tells of Redis, and of the counters that start at 0."""

import httpx
import pytest
from prometheus_client import CollectorRegistry
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.metrics import REASONS, ServiceMetrics
from service.redis_metrics import RedisCollector

AT_ONCE = Retry(NoBackoff(), 0)  # who is away is away


def registry(connection: Redis) -> CollectorRegistry:
    """One that holds the collector alone."""
    found = CollectorRegistry()
    found.register(RedisCollector(connection))
    return found


def test_a_redis_that_answers_is_up_and_says_how_full_it_is(redis_url: str) -> None:
    with Redis.from_url(redis_url) as connection:
        found = registry(connection)
        limit = connection.config_get("maxmemory")["maxmemory"]
        assert found.get_sample_value("tarflow_redis_up") == 1
        assert (found.get_sample_value("tarflow_redis_memory_used_bytes") or 0) > 0
        assert found.get_sample_value("tarflow_redis_memory_max_bytes") == float(limit)


def test_of_a_redis_that_is_away_it_says_just_that() -> None:
    with Redis(port=1, retry=AT_ONCE) as nobody:
        found = registry(nobody)
        assert found.get_sample_value("tarflow_redis_up") == 0
        assert found.get_sample_value("tarflow_redis_memory_used_bytes") is None


def test_the_api_tells_of_it(live_api: httpx.Client) -> None:
    assert "tarflow_redis_up 1.0" in live_api.get("/metrics").text.splitlines()


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_to_turn_work_away_is_counted_from_0(reason: str) -> None:
    with Redis(port=1, retry=AT_ONCE) as nobody:
        found = ServiceMetrics(nobody, ()).registry
    assert found.get_sample_value("tarflow_rejected_total", {"reason": reason}) == 0
