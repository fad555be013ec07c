"""Owns the laws of the end before its time: by a word, and by the leaving of all who waited."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from redis import Redis
from rq import Queue
from rq.job import JobStatus

from service.cancellation import Cancelled
from service.errors import UnknownJob
from service.job_queue import new_job_id
from service.members import MOST_MEMBERS, Leaver
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
    members_key,
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


@dataclass(frozen=True)
class Caller:
    """Who waits for the picture, and may hang up."""

    queue: Blocking
    key: str | None = None
    client: str = "ada"
    request_id: str = field(default_factory=new_job_id)

    def ask(self) -> str:
        """The job that answers it."""
        return str(self.queue.submit(REQUEST, self.request_id, idempotency_key=self.key))

    def hang_up(self, job_id: str) -> Any:
        """What becomes of the job."""
        return self.queue.leave(job_id, REQUEST, Leaver(self.client, self.key, self.request_id))

    def say_so(self, job_id: str) -> Any:
        """What becomes of the job by a `DELETE`."""
        return self.queue.cancel(job_id, Leaver(self.client, self.key))


def callers(queue: Blocking, count: int, **facts: str) -> tuple[str, list[Caller]]:
    """The job of so many who wait for it."""
    waiting = [Caller(queue, **facts) for _ in range(count)]
    (job_id,) = {each.ask() for each in waiting}
    return job_id, waiting


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


def test_a_job_that_the_only_one_leaves_is_cancelled(queue: Blocking) -> None:
    job_id, (only,) = callers(queue, 1)
    assert (only.hang_up(job_id), queue.view(job_id).state) == (Cancelled.CANCELLED, JobState.CANCELLED)


def test_a_job_that_one_of_two_leaves_is_not_cancelled(queue: Blocking) -> None:
    job_id, (one, _) = callers(queue, 2)
    assert (one.hang_up(job_id), queue.view(job_id).state) == (Cancelled.AWAITED, JobState.QUEUED)


def test_a_job_that_all_leave_at_once_is_cancelled_by_one_of_them(queue: Blocking) -> None:
    job_id, waiting = callers(queue, 8)
    left = at_once(8, lambda index: waiting[index].hang_up(job_id))
    assert sorted(left) == [Cancelled.AWAITED] * 7 + [Cancelled.CANCELLED]


def test_the_worker_of_a_running_job_is_asked_when_the_only_one_leaves(queue: Blocking, redis: Redis) -> None:
    job_id, (only,) = callers(queue, 1)
    put(redis, job_id, JobStatus.STARTED)
    assert only.hang_up(job_id) == Cancelled.REQUESTED
    assert redis.hget(f"rq:job:{job_id}", CANCEL_FIELD) == b"1"


@pytest.mark.parametrize("status", ENDED)
def test_leaving_a_job_that_has_ended_changes_nothing(status: JobStatus, queue: Blocking, redis: Redis) -> None:
    job_id, (only,) = callers(queue, 1)
    put(redis, job_id, status)
    before = redis.hgetall(f"rq:job:{job_id}")
    assert (only.hang_up(job_id), redis.hgetall(f"rq:job:{job_id}")) == (Cancelled.ENDED, before)


def test_one_connection_that_breaks_counts_once_however_often_it_is_told(queue: Blocking) -> None:
    job_id, (one, _) = callers(queue, 2)
    assert [one.hang_up(job_id) for _ in range(3)] == [Cancelled.AWAITED] * 3


def test_one_request_counts_once_however_often_it_is_let_in(queue: Blocking) -> None:
    only = Caller(queue)
    (job_id,) = {only.ask() for _ in range(3)}
    assert only.hang_up(job_id) == Cancelled.CANCELLED


def test_who_asks_again_under_its_key_stays_when_another_leaves(queue: Blocking) -> None:
    job_id, (other,) = callers(queue, 1)
    first, second = Caller(queue, "seven"), Caller(queue, "seven")
    first.ask()
    first.hang_up(job_id)
    second.ask()
    assert (other.hang_up(job_id), second.hang_up(job_id)) == (Cancelled.AWAITED, Cancelled.CANCELLED)


def test_a_first_try_that_is_seen_to_break_late_does_not_end_the_second(queue: Blocking) -> None:
    first, second = Caller(queue, "seven"), Caller(queue, "seven")
    (job_id,) = {first.ask(), second.ask()}
    assert (first.hang_up(job_id), second.hang_up(job_id)) == (Cancelled.AWAITED, Cancelled.CANCELLED)


@pytest.mark.parametrize("key", [None, "seven"])
def test_who_says_so_and_hangs_up_is_one(key: str | None, queue: Blocking) -> None:
    job_id, (other,) = callers(queue, 1)
    one = Caller(queue, key)
    one.ask()
    left = [one.say_so(job_id), one.hang_up(job_id), one.say_so(job_id)]
    assert (left, other.hang_up(job_id)) == ([Cancelled.AWAITED] * 3, Cancelled.CANCELLED)


def test_who_hangs_up_and_then_says_so_under_its_key_is_one(queue: Blocking) -> None:
    job_id, _ = callers(queue, 1)
    one = Caller(queue, "seven")
    one.ask()
    assert [one.hang_up(job_id), one.say_so(job_id)] == [Cancelled.AWAITED] * 2


def test_a_job_is_ended_when_one_said_so_and_another_client_hung_up(queue: Blocking) -> None:
    ada, bob = Caller(queue, client="ada"), Caller(queue, client="bob")
    (job_id,) = {ada.ask(), bob.ask()}
    assert [ada.say_so(job_id), bob.hang_up(job_id)] == [Cancelled.AWAITED, Cancelled.CANCELLED]


def test_a_word_under_a_key_is_of_who_asked_under_it(queue: Blocking) -> None:
    keyed, other = Caller(queue, "seven"), Caller(queue)
    (job_id,) = {keyed.ask(), other.ask()}
    assert [keyed.say_so(job_id) for _ in range(2)] == [Cancelled.AWAITED] * 2
    assert other.hang_up(job_id) == Cancelled.CANCELLED


def test_a_job_from_before_members_were_known_goes_on_for_those_who_asked_then(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    redis.delete(members_key(job_id))
    since = Caller(queue)
    since.ask()
    assert since.hang_up(job_id) == Cancelled.AWAITED


def test_a_job_that_more_want_than_can_be_known_goes_on(queue: Blocking, redis: Redis) -> None:
    job_id, (known,) = callers(queue, 1)
    redis.hset(members_key(job_id), mapping={f"+{index}": str(index) for index in range(MOST_MEMBERS)})
    Caller(queue).ask()
    redis.hdel(members_key(job_id), *(f"+{index}" for index in range(MOST_MEMBERS)))
    assert known.hang_up(job_id) == Cancelled.AWAITED


def test_a_job_knows_no_more_of_those_who_want_it_than_there_may_be(queue: Blocking, redis: Redis) -> None:
    job_id, _ = callers(queue, 1)
    redis.hset(members_key(job_id), mapping={f"+{index}": str(index) for index in range(MOST_MEMBERS - 1)})
    callers(queue, 3)
    queue.cancel(job_id, BOB)
    assert redis.hlen(members_key(job_id)) == MOST_MEMBERS + 1


def test_who_wanted_a_job_is_forgotten_when_it_ends(queue: Blocking, redis: Redis) -> None:
    done, cancelled = (submit(queue, seed=seed) for seed in range(2))
    queue.cancel(cancelled, ADA)
    StandIn(redis).work(Kind.GENERATE)
    submit(queue, seed=0)
    assert not redis.exists(members_key(done), members_key(cancelled))


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
    assert [queue.cancel(job_id, ADA) for _ in range(3)] == [outcome] * 3


@pytest.mark.parametrize("request_", [REQUEST, SCORING])
def test_the_queue_that_is_left_is_that_of_the_request(request_: Any, queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue) if request_ is REQUEST else submit_score(queue)
    queue.cancel(job_id, ADA)
    assert (queue.view(job_id).state, where(redis, job_id)) == (JobState.CANCELLED, set())


@pytest.mark.parametrize(
    ("asked_under", "words"),
    [
        pytest.param(None, (None, None, None), id="repeated"),
        pytest.param(None, ("drawn", "drawn too"), id="under keys that are drawn"),
        pytest.param("key", (None, "key"), id="without a key, then with it"),
        pytest.param("key", ("key", None), id="with a key, then without it"),
    ],
)
def test_one_client_says_so_once_by_whatever_keys(
    asked_under: str | None, words: tuple[str | None, ...], queue: Blocking
) -> None:
    ada, bob = Caller(queue, asked_under), Caller(queue, client="bob")
    job_id = ada.ask()
    assert bob.ask() == job_id
    for key in words:
        assert Caller(queue, key).say_so(job_id) is Cancelled.AWAITED
    assert bob.hang_up(job_id) is Cancelled.CANCELLED
