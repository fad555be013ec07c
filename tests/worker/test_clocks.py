"""Laws of a worker whose clock is wrong: leases, signs of life and stored pictures go by Redis's. Real Redis."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from rq import Queue

from tests.wall_clock import WallClock
from worker.contract import HELD_KEY, LEASE_S, PRESENCE_TTL_S, Kind, workers_key
from worker.engine import Engine
from worker.intake import Batch, Intake
from worker.janitor import Janitor
from worker.leases import Leases
from worker.made import Made
from worker.picture_store import JOB_BYTES, OUTLIVE_JOB_S, RESULT_FACTOR, keep
from worker.presence import announce

AN_HOUR_S = 3600.0
ROUNDING_S = 2.0
WORKERS = workers_key(Kind.SCORE, "tiny")


@pytest.fixture(params=[AN_HOUR_S, -AN_HOUR_S], ids=["fast", "slow"])
def clock(request: pytest.FixtureRequest) -> Iterator[WallClock]:
    """This process's: right, until it is told to be an hour off."""
    clock, shift_s = WallClock(), float(request.param)
    clock.jump(shift_s)
    with clock.installed():
        yield clock


def now_s(connection: Redis) -> float:
    """The time by Redis."""
    return float(connection.time()[0])


def taken(queue: Queue) -> Batch:
    """A job that a worker has just begun."""
    queue.enqueue("generate", {})
    intake = Intake(queue, max_cost=1, window_s=0)
    return intake.claim(intake.pop(wait=False), "a worker")


def end_in(queue: Queue, after_s: float) -> None:
    """Let the only lease have so long to go."""
    registry = queue.started_job_registry.key
    entries: Any = queue.connection.zrange(registry, 0, -1)
    (entry,) = entries
    queue.connection.zadd(registry, {entry: now_s(queue.connection) + after_s})


def lease_s(queue: Queue) -> float:
    """How long the only lease has to go."""
    entries: Any = queue.connection.zrange(queue.started_job_registry.key, 0, -1, withscores=True)
    ((_, ends_s),) = entries
    return float(ends_s) - now_s(queue.connection)


@pytest.mark.usefixtures("clock")
def test_a_worker_whose_clock_is_wrong_gets_a_lease_of_the_usual_length(queue: Queue) -> None:
    assert taken(queue).jobs
    assert lease_s(queue) == pytest.approx(LEASE_S, abs=ROUNDING_S)


@pytest.mark.usefixtures("clock")
def test_a_worker_whose_clock_is_wrong_renews_its_lease_by_the_usual_length(queue: Queue) -> None:
    batch = taken(queue)
    leases = Leases(queue.connection, lambda: None)
    end_in(queue, 1)
    with leases.held(batch):
        leases._renew()
    assert lease_s(queue) == pytest.approx(LEASE_S, abs=ROUNDING_S)


def test_a_lease_that_was_taken_away_is_not_renewed(queue: Queue) -> None:
    batch = taken(queue)
    leases = Leases(queue.connection, lambda: None)
    queue.connection.delete(queue.started_job_registry.key)
    with leases.held(batch):
        leases._renew()
    assert queue.connection.zcard(queue.started_job_registry.key) == 0


def test_a_janitor_whose_clock_is_wrong_leaves_those_that_work_alone(queue: Queue, clock: WallClock) -> None:
    shift_s, clock.shift_s = clock.shift_s, 0.0
    taken(queue)
    clock.shift_s = shift_s
    Janitor(queue.connection, queue).tidy()
    assert queue.connection.zcard(queue.started_job_registry.key) == 1


@pytest.mark.usefixtures("clock")
def test_a_janitor_whose_clock_is_wrong_finds_the_dead(queue: Queue) -> None:
    taken(queue)
    end_in(queue, -1)
    Janitor(queue.connection, queue).tidy()
    assert queue.connection.zcard(queue.started_job_registry.key) == 0


@pytest.mark.usefixtures("clock")
def test_a_worker_whose_clock_is_wrong_is_seen_to_live(connection: Redis, engine: Engine) -> None:
    announce(connection, "me", Kind.SCORE, engine.facts(), "cpu")
    assert connection.zscore(WORKERS, "me") == pytest.approx(now_s(connection), abs=ROUNDING_S)


@pytest.mark.usefixtures("clock")
def test_a_worker_whose_clock_is_wrong_drops_nobody_who_lives(connection: Redis, engine: Engine) -> None:
    connection.zadd(WORKERS, {"silent": now_s(connection) - PRESENCE_TTL_S - 1, "other": now_s(connection)})
    announce(connection, "me", Kind.SCORE, engine.facts(), "cpu")
    assert connection.zscore(WORKERS, "other") is not None
    assert connection.zscore(WORKERS, "silent") is None


@pytest.mark.usefixtures("clock")
def test_pictures_of_a_worker_whose_clock_is_wrong_take_room_for_as_long_as_they_are_kept(connection: Redis) -> None:
    with connection.pipeline() as pipeline:
        keep(pipeline, "7" * 32, Made({}, {"0": b"PNG"}), 60)
        pipeline.execute()
    until_s = connection.zscore(HELD_KEY, f"{'7' * 32}:{3 + len('{}') * RESULT_FACTOR + JOB_BYTES}")
    assert until_s == pytest.approx(now_s(connection) + 60 + OUTLIVE_JOB_S, abs=ROUNDING_S)


def test_the_clock_of_these_tests_is_wrong(clock: WallClock, connection: Redis) -> None:
    assert abs(time.time() - now_s(connection)) == pytest.approx(abs(clock.shift_s), abs=ROUNDING_S)
