"""Laws of the sign of life: who lives is seen, who is silent is dropped, and Redis may be away."""

import logging
import time
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.contract import (
    PRESENCE_TTL_S,
    CalibrationsTold,
    Kind,
    ModelFacts,
    calibrations_key,
    device_key,
    facts_key,
    workers_key,
)
from worker.engine import Engine
from worker.presence import BEAT_S, announce, presence

KEY = workers_key(Kind.SCORE, "tiny")


@pytest.fixture
def facts(engine: Engine) -> ModelFacts:
    """Those of the tiny engine."""
    return engine.facts()


def test_a_sign_of_life_names_the_worker_and_its_moment(connection: Redis, facts: ModelFacts) -> None:
    before_s = connection.time()[0]
    announce(connection, "me", Kind.SCORE, facts, "cpu")
    members: Any = connection.zrange(KEY, 0, -1, withscores=True)
    ((name, moment_s),) = members
    assert name == b"me"
    assert before_s <= moment_s <= connection.time()[0]


def test_a_sign_of_life_brings_the_facts(connection: Redis, facts: ModelFacts) -> None:
    announce(connection, "me", Kind.SCORE, facts, "cpu")
    content = connection.get(facts_key("tiny"))
    assert isinstance(content, bytes)
    assert ModelFacts.model_validate_json(content) == facts


def test_a_worker_of_scores_tells_of_calibrations_and_others_leave_that_alone(
    connection: Redis, facts: ModelFacts
) -> None:
    judging = facts.model_copy(update={"calibrations_left_out": ("night",)})
    announce(connection, "judge", Kind.SCORE, judging, "cpu")
    announce(connection, "painter", Kind.GENERATE, facts, "cpu")
    content, told = connection.get(facts_key("tiny")), connection.get(calibrations_key("tiny"))
    assert isinstance(content, bytes)
    assert isinstance(told, bytes)
    found = ModelFacts.model_validate_json(content).with_calibrations(CalibrationsTold.model_validate_json(told))
    assert found == judging


def test_calibrations_of_other_weights_are_not_taken_for_these(facts: ModelFacts) -> None:
    assert facts.with_calibrations(CalibrationsTold(digest="e2" * 32, left_out=("night",))) == facts


def test_a_second_sign_of_life_makes_no_second_worker(connection: Redis, facts: ModelFacts) -> None:
    for _ in range(2):
        announce(connection, "me", Kind.SCORE, facts, "cpu")
    assert connection.zcard(KEY) == 1


def test_a_worker_long_silent_is_dropped(connection: Redis, facts: ModelFacts) -> None:
    connection.zadd(KEY, {"silent": time.time() - PRESENCE_TTL_S - 1, "late": time.time() - PRESENCE_TTL_S + 5})
    announce(connection, "me", Kind.SCORE, facts, "cpu")
    assert connection.zrange(KEY, 0, -1) == [b"late", b"me"]


def test_the_last_worker_leaves_nothing_for_ever(connection: Redis, facts: ModelFacts) -> None:
    announce(connection, "me", Kind.SCORE, facts, "cpu")
    assert 0 < connection.ttl(KEY) <= PRESENCE_TTL_S
    assert connection.ttl(facts_key("tiny")) > 0


def test_a_sign_of_life_comes_several_times_before_it_ends() -> None:
    assert 3 * BEAT_S <= PRESENCE_TTL_S


def test_a_worker_that_leaves_is_gone_at_once(connection: Redis, facts: ModelFacts) -> None:
    connection.zadd(KEY, {"other": time.time()})
    with presence(connection, "me", Kind.SCORE, facts, "cpu"):
        pass
    assert connection.zrange(KEY, 0, -1) == [b"other"]


def test_a_worker_that_fails_is_gone_at_once(connection: Redis, facts: ModelFacts) -> None:
    with pytest.raises(ZeroDivisionError), presence(connection, "me", Kind.SCORE, facts, "cpu"):
        raise ZeroDivisionError
    assert connection.zcard(KEY) == 0


def test_a_redis_that_is_away_does_not_stop_a_worker(facts: ModelFacts, caplog: pytest.LogCaptureFixture) -> None:
    nowhere = Redis.from_url("unix:///nowhere/redis.sock", retry=Retry(NoBackoff(), 0))
    with caplog.at_level(logging.WARNING), presence(nowhere, "me", Kind.SCORE, facts, "cpu"):
        pass
    assert "sign of life not withdrawn" in caplog.text


def test_a_sign_of_life_says_what_the_worker_computes_on_and_ends_with_it(connection: Redis, facts: ModelFacts) -> None:
    announce(connection, "me", Kind.SCORE, facts, "NVIDIA H100")
    assert connection.get(device_key("me")) == b"NVIDIA H100"
    assert 0 < connection.ttl(device_key("me")) <= PRESENCE_TTL_S
    with presence(connection, "me", Kind.SCORE, facts, "NVIDIA H100"):
        pass
    assert not connection.exists(device_key("me"))
