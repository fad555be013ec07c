"""Owns the laws of the end before its time, and of what is left of a job that has come to it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import JobStatus

from service.cancellation import Cancelled
from service.errors import UnknownJob
from service.members import Leaver
from tests.blocking_queue import Blocking
from tests.service.stand_in import StandIn
from tests.service.submissions import (
    PIXELS,
    QUEUE,
    RESULT_TTL_S,
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

ADA, BOB = Leaver("ada"), Leaver("bob")
ENDED = [JobStatus.FINISHED, JobStatus.FAILED]


@pytest.fixture
def queue(redis: Redis) -> Blocking:
    """The queues, empty."""
    return job_queue(redis)


def told(redis: Redis, job_id: str) -> list[dict[bytes, bytes]]:
    """Everything that was told of a job."""
    streams: list[Any] = [redis.xrange(key) for key in (events_key(job_id), NEWS_STREAM)]
    return [fields for entries in streams for _, fields in entries]


def test_a_queued_job_is_cancelled_at_once(queue: Blocking) -> None:
    job_id = submit(queue)
    assert (queue.cancel(job_id, ADA), queue.view(job_id).state) == (Cancelled.CANCELLED, JobState.CANCELLED)


def test_a_score_is_cancelled_like_a_picture(queue: Blocking) -> None:
    job_id = submit_score(queue)
    assert (queue.cancel(job_id, ADA), queue.view(job_id).state) == (Cancelled.CANCELLED, JobState.CANCELLED)


def test_a_cancelled_job_is_in_no_list_and_no_registry(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    before = where(redis, job_id)
    queue.cancel(job_id, ADA)
    assert (before, where(redis, job_id)) == ({QUEUE}, set())


def test_the_others_stay_in_their_order(queue: Blocking, redis: Redis) -> None:
    jobs = [submit(queue, seed=seed) for seed in range(3)]
    queue.cancel(jobs[1], ADA)
    assert redis.lrange(QUEUE, 0, -1) == [jobs[0].encode(), jobs[2].encode()]


def test_a_cancelled_job_says_when(queue: Blocking) -> None:
    before = datetime.now(UTC)
    job_id = submit(queue)
    queue.cancel(job_id, ADA)
    ended_at = queue.view(job_id).ended_at
    assert ended_at is not None
    assert before <= ended_at <= datetime.now(UTC)


def test_nothing_of_a_cancelled_job_is_kept_for_ever(queue: Blocking, redis: Redis) -> None:
    job_id = submit_score(queue, key="seven")
    queue.cancel(job_id, ADA)
    assert lasting(redis) == {"rq:queues"}


def test_a_cancelled_job_can_be_asked_for_as_long_as_a_result(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    redis.expire(f"rq:job:{job_id}", 1)
    queue.cancel(job_id, ADA)
    assert RESULT_TTL_S - 10 < redis.ttl(f"rq:job:{job_id}") <= RESULT_TTL_S


def test_its_end_is_told_as_a_worker_would(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    queue.cancel(job_id, ADA)
    by_us = told(redis, job_id)
    redis.delete(events_key(job_id), NEWS_STREAM)
    tell_state(redis, job_id, JobState.CANCELLED)
    assert by_us == told(redis, job_id)


def test_its_end_is_told_once(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    queue.cancel(job_id, ADA)
    once = told(redis, job_id)
    queue.cancel(job_id, ADA)
    assert told(redis, job_id) == once


def test_the_events_of_a_cancelled_job_are_kept_no_longer_than_a_worker_keeps_them(
    queue: Blocking, redis: Redis
) -> None:
    job_id = submit(queue)
    queue.cancel(job_id, ADA)
    assert 0 < redis.ttl(events_key(job_id)) <= ENDED_EVENTS_TTL_S


def test_the_pixels_of_a_cancelled_score_are_gone(queue: Blocking, redis: Redis) -> None:
    job_id = submit_score(queue)
    before = redis.get(input_key(job_id))
    queue.cancel(job_id, ADA)
    assert (before, redis.exists(input_key(job_id))) == (PIXELS, 0)


def test_the_pixels_of_a_running_score_stay_until_its_worker_ends_it(queue: Blocking, redis: Redis) -> None:
    job_id = submit_score(queue)
    put(redis, job_id, JobStatus.STARTED)
    queue.cancel(job_id, ADA)
    assert redis.get(input_key(job_id)) == PIXELS


def test_a_cancelled_job_is_not_done(queue: Blocking, redis: Redis) -> None:
    first, second = (submit(queue, seed=seed) for seed in range(2))
    queue.cancel(first, ADA)
    StandIn(redis).work(Kind.GENERATE)
    states = [queue.view(job_id).state for job_id in (first, second)]
    assert states == [JobState.CANCELLED, JobState.SUCCEEDED]


def test_a_job_that_a_worker_just_took_does_not_begin_once_it_is_cancelled(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    rq_queue = Queue(queue_name(Kind.GENERATE, "digits"), connection=redis, serializer="json", job_class=ServedJob)
    intake = Intake(rq_queue, max_cost=1, window_s=0)
    popped = intake.pop(wait=False)
    outcome = queue.cancel(job_id, ADA)
    begun = intake.claim(popped, "stand-in").jobs
    assert (len(popped), outcome, begun, where(redis, job_id)) == (1, Cancelled.CANCELLED, (), set())


def test_the_worker_of_a_running_job_is_asked(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, JobStatus.STARTED)
    assert queue.cancel(job_id, ADA) == Cancelled.REQUESTED
    assert redis.hget(f"rq:job:{job_id}", CANCEL_FIELD) == b"1"


def test_a_running_job_runs_until_its_worker_ends_it(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, JobStatus.STARTED)
    queue.cancel(job_id, ADA)
    assert (queue.view(job_id).state, told(redis, job_id)) == (JobState.RUNNING, [])


@pytest.mark.parametrize("status", ENDED)
def test_a_job_that_has_ended_stays_as_it_is(status: JobStatus, queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, status)
    before = redis.hgetall(f"rq:job:{job_id}")
    assert (queue.cancel(job_id, ADA), redis.hgetall(f"rq:job:{job_id}")) == (Cancelled.ENDED, before)


def test_a_cancelled_job_may_be_cancelled_again(queue: Blocking) -> None:
    job_id = submit(queue)
    assert [queue.cancel(job_id, ADA) for _ in range(2)] == [Cancelled.CANCELLED, Cancelled.BEFORE]


def test_one_who_says_it_twice_does_not_end_what_another_waits_for(queue: Blocking) -> None:
    (job_id,) = {submit(queue) for _ in range(2)}
    assert [queue.cancel(job_id, ADA) for _ in range(3)] == [Cancelled.AWAITED] * 3
    assert queue.view(job_id).state == JobState.QUEUED


def test_each_who_says_it_counts(queue: Blocking) -> None:
    (job_id,) = {submit(queue) for _ in range(2)}
    assert [queue.cancel(job_id, who) for who in (ADA, BOB)] == [Cancelled.AWAITED, Cancelled.CANCELLED]


def test_the_only_one_may_say_it_again_of_a_running_job(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, JobStatus.STARTED)
    assert [queue.cancel(job_id, ADA) for _ in range(2)] == [Cancelled.REQUESTED] * 2


def test_of_those_who_said_it_nothing_is_kept_for_ever(queue: Blocking, redis: Redis) -> None:
    (job_id,) = {submit(queue) for _ in range(2)}
    queue.cancel(job_id, ADA)
    assert lasting(redis) == {"rq:queues", QUEUE}


def test_an_unknown_job_cannot_be_cancelled(queue: Blocking, redis: Redis) -> None:
    with pytest.raises(UnknownJob):
        queue.cancel("7" * 32, ADA)
    assert not redis.dbsize()
