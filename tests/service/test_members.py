"""Owns the laws of who wants a job: each counts once, by whatever means it comes or goes, and the last one ends it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from redis import Redis
from rq.job import JobStatus

from service.cancellation import Cancelled
from service.job_queue import new_job_id
from service.members import MOST_MEMBERS, Leaver
from tests.blocking_queue import Blocking
from tests.service.stand_in import StandIn
from tests.service.submissions import (
    REQUEST,
    SCORING,
    at_once,
    job_queue,
    put,
    submit,
    submit_score,
    where,
)
from worker.contract import (
    CANCEL_FIELD,
    JobState,
    Kind,
    members_key,
)

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
