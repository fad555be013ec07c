"""Owns the laws of the room that kept pictures take: when it is full, and how it is freed."""

import time

import pytest
from redis import Redis

from service.errors import QueueFull
from tests.blocking_queue import Blocking
from tests.service.submissions import MAX_HELD_BYTES, RESULT_TTL_S, job_queue, submit
from worker.contract import HELD_BYTES_KEY, HELD_KEY, pictures_key
from worker.made import Made
from worker.picture_store import JOB_BYTES, RESULT_FACTOR, keep

NO_ROOM = "^the results that are kept take all the room there is$"


@pytest.fixture
def queue(redis: Redis) -> Blocking:
    """The queues, empty, with room for a million bytes."""
    return job_queue(redis)


def hold(redis: Redis, size: int, for_s: float) -> None:
    """Keep so many bytes, as a worker does, or did if it is for less than no time."""
    redis.zadd(HELD_KEY, {f"{size + int(for_s):032x}:{size}": time.time() + for_s})
    redis.incrby(HELD_BYTES_KEY, size)


def made(redis: Redis, files: dict[str, bytes], result: dict[str, object] | None = None) -> None:
    """Keep what a job made, as a worker does."""
    with redis.pipeline() as pipeline:
        keep(pipeline, "7" * 32, Made(result or {}, files), RESULT_TTL_S)
        pipeline.execute()


def held_bytes(redis: Redis) -> int:
    """The account."""
    return int(redis.get(HELD_BYTES_KEY) or 0)


def test_what_a_worker_keeps_is_counted(redis: Redis) -> None:
    made(redis, {"0": bytes(300), "1": bytes(40), "sheet": bytes(5)}, {"n": 2})
    assert held_bytes(redis) == 345 + RESULT_FACTOR * len('{"n": 2}') + JOB_BYTES


def test_a_result_without_pictures_is_counted_too(redis: Redis) -> None:
    made(redis, {}, {"scores": [1.5] * 100})
    assert held_bytes(redis) > JOB_BYTES + 500


def test_what_a_worker_keeps_twice_is_counted_once(redis: Redis) -> None:
    for _ in range(2):
        made(redis, {"0": bytes(300)})
    assert held_bytes(redis) == 300 + RESULT_FACTOR * len("{}") + JOB_BYTES


def test_as_long_as_there_is_room_a_job_is_let_in(queue: Blocking, redis: Redis) -> None:
    hold(redis, MAX_HELD_BYTES - 1, for_s=60)
    assert queue.view(submit(queue)).position == 0


def test_without_room_a_job_is_refused(queue: Blocking, redis: Redis) -> None:
    made(redis, {"0": bytes(MAX_HELD_BYTES)})
    with pytest.raises(QueueFull, match=NO_ROOM):
        submit(queue)


def test_pictures_that_have_expired_take_no_room(queue: Blocking, redis: Redis) -> None:
    hold(redis, MAX_HELD_BYTES, for_s=-1)
    assert queue.view(submit(queue)).position == 0


def test_of_the_account_just_what_has_expired_is_struck(queue: Blocking, redis: Redis) -> None:
    for size, for_s in ((MAX_HELD_BYTES, -60), (700, -1), (30, 60), (4, 120)):
        hold(redis, size, for_s)
    submit(queue)
    assert (held_bytes(redis), redis.zcard(HELD_KEY)) == (34, 2)


def test_what_has_expired_is_struck_even_if_what_is_left_is_too_much(queue: Blocking, redis: Redis) -> None:
    hold(redis, 700, for_s=-1)
    hold(redis, MAX_HELD_BYTES, for_s=60)
    with pytest.raises(QueueFull, match=NO_ROOM):
        submit(queue)
    assert held_bytes(redis) == MAX_HELD_BYTES


def test_who_asks_for_what_is_known_needs_no_room(queue: Blocking, redis: Redis) -> None:
    known = submit(queue)
    hold(redis, MAX_HELD_BYTES, for_s=60)
    assert submit(queue) == known


@pytest.mark.parametrize("account", [HELD_KEY, HELD_BYTES_KEY])
def test_the_account_outlives_the_pictures_and_then_expires(account: str, redis: Redis) -> None:
    made(redis, {"0": bytes(300)})
    kept_s = redis.ttl(pictures_key("7" * 32))
    assert 0 < kept_s < redis.ttl(account) <= 2 * (kept_s + 1)
