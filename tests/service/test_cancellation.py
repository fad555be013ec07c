"""Owns the laws of the end before its time: by a word, and by the leaving of all who waited."""

from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import JobStatus

from service.cancellation import Cancelled
from service.errors import UnknownJob
from tests.blocking_queue import Blocking
from tests.service.stand_in import StandIn
from tests.service.submissions import (
    PIXELS,
    QUEUE,
    REQUEST,
    RESULT_TTL_S,
    SCORING,
    at_once,
    job_queue,
    lasting,
    put,
    submit,
    submit_score,
    where,
)
from worker.contract import (
    CANCEL_FIELD,
    ENDED_EVENTS_TTL_S,
    NEWS_STREAM,
    JobState,
    Kind,
    events_key,
    input_key,
    queue_name,
)
from worker.intake import Intake
from worker.news import tell_state
from worker.served_job import ServedJob

ENDED = [JobStatus.FINISHED, JobStatus.FAILED]


@pytest.fixture
def queue(redis: Redis) -> Blocking:
    """The queues, empty."""
    return job_queue(redis)


def leave(queue: Blocking, job_id: str) -> Any:
    """One of those who wait hangs up."""
    return queue.leave(job_id, REQUEST)


def told(redis: Redis, job_id: str) -> list[dict[bytes, bytes]]:
    """Everything that was told of a job."""
    streams: list[Any] = [redis.xrange(key) for key in (events_key(job_id), NEWS_STREAM)]
    return [fields for entries in streams for _, fields in entries]


def test_a_queued_job_is_cancelled_at_once(queue: Blocking) -> None:
    job_id = submit(queue)
    assert (queue.cancel(job_id), queue.view(job_id).state) == (Cancelled.CANCELLED, JobState.CANCELLED)


def test_a_score_is_cancelled_like_a_picture(queue: Blocking) -> None:
    job_id = submit_score(queue)
    assert (queue.cancel(job_id), queue.view(job_id).state) == (Cancelled.CANCELLED, JobState.CANCELLED)


def test_a_cancelled_job_is_in_no_list_and_no_registry(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    before = where(redis, job_id)
    queue.cancel(job_id)
    assert (before, where(redis, job_id)) == ({QUEUE}, set())


def test_the_others_stay_in_their_order(queue: Blocking, redis: Redis) -> None:
    jobs = [submit(queue, seed=seed) for seed in range(3)]
    queue.cancel(jobs[1])
    assert redis.lrange(QUEUE, 0, -1) == [jobs[0].encode(), jobs[2].encode()]


def test_a_cancelled_job_says_when(queue: Blocking) -> None:
    before = datetime.now(UTC)
    job_id = submit(queue)
    queue.cancel(job_id)
    ended_at = queue.view(job_id).ended_at
    assert ended_at is not None
    assert before <= ended_at <= datetime.now(UTC)


def test_nothing_of_a_cancelled_job_is_kept_for_ever(queue: Blocking, redis: Redis) -> None:
    job_id = submit_score(queue, key="seven")
    queue.cancel(job_id)
    assert lasting(redis) == {"rq:queues"}


def test_a_cancelled_job_can_be_asked_for_as_long_as_a_result(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    redis.expire(f"rq:job:{job_id}", 1)
    queue.cancel(job_id)
    assert RESULT_TTL_S - 10 < redis.ttl(f"rq:job:{job_id}") <= RESULT_TTL_S


def test_its_end_is_told_as_a_worker_would(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    queue.cancel(job_id)
    by_us = told(redis, job_id)
    redis.delete(events_key(job_id), NEWS_STREAM)
    tell_state(redis, job_id, JobState.CANCELLED)
    assert by_us == told(redis, job_id)


def test_its_end_is_told_once(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    queue.cancel(job_id)
    once = told(redis, job_id)
    queue.cancel(job_id)
    assert told(redis, job_id) == once


def test_the_events_of_a_cancelled_job_are_kept_no_longer_than_a_worker_keeps_them(
    queue: Blocking, redis: Redis
) -> None:
    job_id = submit(queue)
    queue.cancel(job_id)
    assert 0 < redis.ttl(events_key(job_id)) <= ENDED_EVENTS_TTL_S


def test_the_pixels_of_a_cancelled_score_are_gone(queue: Blocking, redis: Redis) -> None:
    job_id = submit_score(queue)
    before = redis.get(input_key(job_id))
    queue.cancel(job_id)
    assert (before, redis.exists(input_key(job_id))) == (PIXELS, 0)


def test_the_pixels_of_a_running_score_stay_until_its_worker_ends_it(queue: Blocking, redis: Redis) -> None:
    job_id = submit_score(queue)
    put(redis, job_id, JobStatus.STARTED)
    queue.cancel(job_id)
    assert redis.get(input_key(job_id)) == PIXELS


def test_a_cancelled_job_is_not_done(queue: Blocking, redis: Redis) -> None:
    first, second = (submit(queue, seed=seed) for seed in range(2))
    queue.cancel(first)
    StandIn(redis).work(Kind.GENERATE)
    states = [queue.view(job_id).state for job_id in (first, second)]
    assert states == [JobState.CANCELLED, JobState.SUCCEEDED]


def test_a_job_that_a_worker_just_took_does_not_begin_once_it_is_cancelled(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    rq_queue = Queue(queue_name(Kind.GENERATE, "digits"), connection=redis, serializer="json", job_class=ServedJob)
    intake = Intake(rq_queue, max_cost=1, window_s=0)
    popped = intake.pop(wait=False)
    outcome = queue.cancel(job_id)
    begun = intake.claim(popped, "stand-in").jobs
    assert (len(popped), outcome, begun, where(redis, job_id)) == (1, Cancelled.CANCELLED, (), set())


def test_the_worker_of_a_running_job_is_asked(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, JobStatus.STARTED)
    assert queue.cancel(job_id) == Cancelled.REQUESTED
    assert redis.hget(f"rq:job:{job_id}", CANCEL_FIELD) == b"1"


def test_a_running_job_runs_until_its_worker_ends_it(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, JobStatus.STARTED)
    queue.cancel(job_id)
    assert (queue.view(job_id).state, told(redis, job_id)) == (JobState.RUNNING, [])


@pytest.mark.parametrize("status", ENDED)
def test_a_job_that_has_ended_stays_as_it_is(status: JobStatus, queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, status)
    before = redis.hgetall(f"rq:job:{job_id}")
    assert (queue.cancel(job_id), redis.hgetall(f"rq:job:{job_id}")) == (Cancelled.ENDED, before)


def test_a_cancelled_job_may_be_cancelled_again(queue: Blocking) -> None:
    job_id = submit(queue)
    assert [queue.cancel(job_id) for _ in range(2)] == [Cancelled.CANCELLED, Cancelled.BEFORE]


def test_one_who_says_it_twice_does_not_end_what_another_waits_for(queue: Blocking) -> None:
    (job_id,) = {submit(queue) for _ in range(2)}
    assert [queue.cancel(job_id, "ada") for _ in range(3)] == [Cancelled.AWAITED] * 3
    assert queue.view(job_id).state == JobState.QUEUED


def test_each_who_says_it_counts(queue: Blocking) -> None:
    (job_id,) = {submit(queue) for _ in range(2)}
    assert [queue.cancel(job_id, who) for who in ("ada", "bob")] == [Cancelled.AWAITED, Cancelled.CANCELLED]


def test_the_only_one_may_say_it_again_of_a_running_job(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, JobStatus.STARTED)
    assert [queue.cancel(job_id, "ada") for _ in range(2)] == [Cancelled.REQUESTED] * 2


def test_of_those_who_said_it_nothing_is_kept_for_ever(queue: Blocking, redis: Redis) -> None:
    (job_id,) = {submit(queue) for _ in range(2)}
    queue.cancel(job_id, "ada")
    assert lasting(redis) == {"rq:queues", QUEUE}


def test_an_unknown_job_cannot_be_cancelled(queue: Blocking, redis: Redis) -> None:
    with pytest.raises(UnknownJob):
        queue.cancel("7" * 32)
    assert not redis.dbsize()


def test_a_job_that_the_only_one_leaves_is_cancelled(queue: Blocking) -> None:
    job_id = submit(queue)
    assert (leave(queue, job_id), queue.view(job_id).state) == (Cancelled.CANCELLED, JobState.CANCELLED)


def test_a_job_that_one_of_two_leaves_is_not_cancelled(queue: Blocking) -> None:
    job_id = submit(queue)
    submit(queue)
    assert (leave(queue, job_id), queue.view(job_id).state) == (Cancelled.AWAITED, JobState.QUEUED)


def test_a_job_that_all_leave_at_once_is_cancelled_by_one_of_them(queue: Blocking) -> None:
    (job_id,) = set(at_once(8, lambda _: submit(queue)))
    left = at_once(8, lambda _: leave(queue, job_id))
    assert sorted(left) == [Cancelled.AWAITED] * 7 + [Cancelled.CANCELLED]


def test_the_worker_of_a_running_job_is_asked_when_the_only_one_leaves(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, JobStatus.STARTED)
    assert leave(queue, job_id) == Cancelled.REQUESTED
    assert redis.hget(f"rq:job:{job_id}", CANCEL_FIELD) == b"1"


@pytest.mark.parametrize("status", ENDED)
def test_leaving_a_job_that_has_ended_changes_nothing(status: JobStatus, queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, status)
    before = redis.hgetall(f"rq:job:{job_id}")
    assert (leave(queue, job_id), redis.hgetall(f"rq:job:{job_id}")) == (Cancelled.ENDED, before)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (JobStatus.FINISHED, Cancelled.ENDED),
        (JobStatus.FAILED, Cancelled.ENDED),
        (JobStatus.CANCELED, Cancelled.BEFORE),
    ],
)
def test_a_job_that_has_ended_has_ended_for_all_who_waited_for_it(
    status: JobStatus, outcome: Cancelled, queue: Blocking, redis: Redis
) -> None:
    (job_id,) = {submit(queue) for _ in range(3)}
    put(redis, job_id, status)
    assert [queue.cancel(job_id) for _ in range(3)] == [outcome] * 3


@pytest.mark.parametrize("request_", [REQUEST, SCORING])
def test_the_queue_that_is_left_is_that_of_the_request(request_: Any, queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue) if request_ is REQUEST else submit_score(queue)
    queue.leave(job_id, request_)
    assert (queue.view(job_id).state, where(redis, job_id)) == (JobState.CANCELLED, set())
