"""Owns the laws of the door: how many are let in, which requests are one job, and what is left of those refused."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from rq.job import JobStatus

from service.admission import DEFAULT_MAX_QUEUED_PASSES, LONGEST_QUEUED_S, Limits
from service.errors import KeyReused, QueueFull
from service.members import Leaver
from tests.blocking_queue import Blocking
from tests.service.stand_in import StandIn
from tests.service.submissions import (
    MAX_HELD_BYTES,
    MAX_QUEUED,
    PIXELS,
    QUEUE,
    RESULT_TTL_S,
    at_once,
    fill,
    job_queue,
    lasting,
    put,
    submit,
    submit_score,
)
from worker.contract import GenerateRequest, JobState, Kind, ScoreInput, input_key, job_key, members_key, pace_key

THREADS, ATTEMPTS = 8, 40
FULL = r"^64 images wait already, at most 64 may$"
OTHER_PICTURES = [
    ("model", "another"),
    ("model_digest", "e2" * 32),
    ("class_index", 8),
    ("guidance", 2.5),
    ("n", 2),
    ("seed", 6),
    ("denoise", False),
    ("attention_temperature", 0.5),
]
OTHER_SCORES = [
    ("model", "another"),
    ("model_digest", "e2" * 32),
    ("class_index", "all"),
    ("images", (ScoreInput(sha256="b2" * 32),)),
    ("images", (ScoreInput(sha256="a1" * 32, resized_from=(30, 20)),)),
    ("images", (ScoreInput(sha256="a1" * 32),) * 2),
]


@pytest.fixture
def queue(redis: Redis) -> Blocking:
    """The queues, empty, with room for 64 images."""
    return job_queue(redis)


def is_let_in(queue: Blocking, **request: Any) -> bool:
    """Whether there was room for a request."""
    try:
        submit(queue, **request)
    except QueueFull:
        return False
    return True


def test_however_many_ask_at_once_just_so_many_are_let_in(queue: Blocking, redis: Redis) -> None:
    def ask(thread: int) -> int:
        return sum(is_let_in(queue, seed=thread * ATTEMPTS + attempt) for attempt in range(ATTEMPTS))

    assert (sum(at_once(THREADS, ask)), redis.llen(QUEUE)) == (MAX_QUEUED, MAX_QUEUED)


def test_it_is_images_that_are_counted(queue: Blocking) -> None:
    assert [is_let_in(queue, seed=seed, n=16) for seed in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize(("images", "fits"), [(3, True), (4, True), (5, False)])
def test_the_last_place_may_be_taken_and_no_more(images: int, fits: bool, queue: Blocking) -> None:
    fill(queue, 60)
    assert is_let_in(queue, n=images) == fits


def test_who_asks_for_too_much_does_not_stand_in_the_way_of_less(queue: Blocking) -> None:
    fill(queue, 60)
    assert [is_let_in(queue, n=images) for images in (16, 4)] == [False, True]


def test_the_images_of_a_score_are_counted(queue: Blocking) -> None:
    images = tuple(ScoreInput(sha256=f"{index:064x}") for index in range(MAX_QUEUED))
    submit_score(queue, images=images)
    with pytest.raises(QueueFull, match=FULL):
        submit_score(queue)


DEAR: dict[str, Any] = {"class_index": "all", "images": (ScoreInput(sha256="b2" * 32),) * 4, "classes": 1000}
PASSES = 4 * 1001


def test_the_passes_of_scores_are_bounded_beside_their_images(queue: Blocking) -> None:
    for alpha in (0.1, 0.2):
        submit_score(queue, alpha=alpha, **DEAR)
    limit = f"^{2 * PASSES} forward passes wait already, at most {DEFAULT_MAX_QUEUED_PASSES} may$"
    with pytest.raises(QueueFull, match=limit):
        submit_score(queue, alpha=0.3, **DEAR)


def test_who_is_refused_for_his_passes_does_not_stand_in_the_way_of_less(queue: Blocking) -> None:
    for alpha in (0.1, 0.2):
        submit_score(queue, alpha=alpha, **DEAR)
    job_id = submit_score(queue)
    assert queue.view(job_id).cost_ahead == 2 * PASSES


def test_who_is_refused_for_his_passes_is_told_when_they_should_be_done(queue: Blocking, redis: Redis) -> None:
    redis.set(pace_key(Kind.SCORE, "digits"), 0.5)
    for alpha in (0.1, 0.2):
        submit_score(queue, alpha=alpha, **DEAR)
    with pytest.raises(QueueFull) as refused:
        submit_score(queue, alpha=0.3, **DEAR)
    assert refused.value.retry_after_s == PASSES


@pytest.mark.parametrize("ask", [submit_score, lambda queue: submit(queue, model="another")], ids=["kind", "model"])
def test_every_kind_and_model_has_a_queue_of_its_own(ask: Callable[[Blocking], str], queue: Blocking) -> None:
    fill(queue)
    job_id = ask(queue)
    assert queue.view(job_id).position == 0


def test_who_is_refused_is_told_the_limit(queue: Blocking) -> None:
    fill(queue)
    with pytest.raises(QueueFull, match=FULL):
        submit(queue)


def test_a_score_that_finds_no_room_leaves_nothing_behind(queue: Blocking, redis_names: Callable[[], set[str]]) -> None:
    submit_score(queue, images=tuple(ScoreInput(sha256=f"{index:064x}") for index in range(MAX_QUEUED)))
    before = redis_names()
    with pytest.raises(QueueFull):
        submit_score(queue, key="seven")
    assert redis_names() == before


def written(redis: Redis) -> int:
    """How many changes Redis has seen; those undone since are counted too."""
    changes: int = redis.info("persistence")["rdb_changes_since_last_save"]
    return changes


def test_nothing_is_written_for_who_is_refused(queue: Blocking, redis: Redis) -> None:
    submit_score(queue, images=tuple(ScoreInput(sha256=f"{index:064x}") for index in range(MAX_QUEUED)), key="seven")
    before = written(redis)
    with pytest.raises(QueueFull):
        submit_score(queue)
    with pytest.raises(KeyReused):
        submit_score(queue, key="seven")
    assert written(redis) == before


def test_a_score_under_a_used_key_leaves_nothing_behind(queue: Blocking, redis_names: Callable[[], set[str]]) -> None:
    submit(queue, key="seven")
    before = redis_names()
    with pytest.raises(KeyReused):
        submit_score(queue, key="seven")
    assert redis_names() == before


def test_a_score_that_is_known_leaves_nothing_more_behind(queue: Blocking, redis_names: Callable[[], set[str]]) -> None:
    submit_score(queue)
    before = redis_names()
    submit_score(queue)
    assert redis_names() == before


def test_a_refusal_does_not_use_up_a_key(queue: Blocking, redis: Redis) -> None:
    fill(queue)
    with pytest.raises(QueueFull):
        submit(queue, key="seven")
    redis.delete(QUEUE)
    assert submit(queue, key="seven") == submit(queue, key="seven")


def test_a_queue_that_is_worked_off_lets_in_as_many_again(queue: Blocking, redis: Redis) -> None:
    fill(queue)
    StandIn(redis).work(Kind.GENERATE, jobs=3)
    assert [is_let_in(queue, seed=seed) for seed in range(4)] == [True, True, True, False]


def test_a_job_that_is_cancelled_makes_room(queue: Blocking) -> None:
    jobs = fill(queue)
    queue.cancel(jobs[10], Leaver("ada"))
    assert [is_let_in(queue, seed=seed) for seed in range(2)] == [True, False]


def test_all_that_is_kept_expires_but_the_queue_and_its_name(queue: Blocking, redis: Redis) -> None:
    submit(queue, key="seven")
    submit_score(queue, key="eight")
    assert lasting(redis) == {"rq:queues", QUEUE, QUEUE.replace("generate", "score")}


def test_what_a_queued_job_is_made_of_outlives_the_time_that_results_are_kept(queue: Blocking, redis: Redis) -> None:
    job_id = submit_score(queue)
    queue.cancel(submit_score(queue), Leaver("ada", request_id="none"))
    kept = [redis.ttl(key(job_id)) for key in (job_key, input_key, members_key)]
    assert all(LONGEST_QUEUED_S - 10 < ttl_s <= LONGEST_QUEUED_S for ttl_s in kept)


def test_results_that_are_kept_for_longer_than_a_job_may_wait_let_it_wait_as_long() -> None:
    assert Limits(MAX_QUEUED, MAX_HELD_BYTES, 2 * LONGEST_QUEUED_S).queued_ttl_s == 2 * LONGEST_QUEUED_S


def test_what_has_ended_is_kept_from_its_end_on_as_long_as_a_result(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    StandIn(redis).work(Kind.GENERATE)
    assert RESULT_TTL_S - 10 < redis.ttl(job_key(job_id)) <= RESULT_TTL_S


@pytest.mark.parametrize("key", [None, "seven"])
def test_a_job_that_has_waited_for_longer_than_results_are_kept_answers_an_equal_request(
    key: str | None, queue: Blocking, redis: Redis
) -> None:
    job_id = submit(queue, key=key)
    redis.delete(*redis.keys("tarflow:same:*"), "tarflow:idempotency:seven")
    assert (submit(queue, key=key), redis.llen(QUEUE)) == (job_id, 1)


def test_equal_requests_are_one_job(queue: Blocking, redis: Redis) -> None:
    assert submit(queue) == submit(queue)
    assert redis.llen(QUEUE) == 1


def test_equal_requests_at_once_are_one_job(queue: Blocking, redis: Redis) -> None:
    jobs = at_once(THREADS, lambda _: submit(queue))
    assert (len(set(jobs)), redis.llen(QUEUE)) == (1, 1)


@pytest.mark.parametrize(("field", "value"), OTHER_PICTURES)
def test_a_request_that_differs_in_anything_is_another_job(field: str, value: Any, queue: Blocking) -> None:
    assert submit(queue, **{field: value}) != submit(queue)


def test_every_field_of_a_request_makes_a_difference() -> None:
    assert {field for field, _ in OTHER_PICTURES} == set(GenerateRequest.model_fields)


def test_scores_of_equal_images_are_one_job(queue: Blocking, redis: Redis) -> None:
    one, two = submit_score(queue), submit_score(queue)
    assert (one, redis.get(input_key(one))) == (two, PIXELS)


@pytest.mark.parametrize(("field", "value"), OTHER_SCORES)
def test_a_score_that_differs_in_anything_is_another_job(field: str, value: Any, queue: Blocking) -> None:
    assert submit_score(queue, **{field: value}) != submit_score(queue)


@pytest.mark.parametrize("status", [JobStatus.STARTED, JobStatus.FINISHED])
def test_a_job_that_runs_or_is_done_answers_an_equal_request(status: JobStatus, queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, status)
    assert submit(queue) == job_id


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELED, JobStatus.STOPPED])
def test_a_job_without_a_result_answers_no_equal_request(status: JobStatus, queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    put(redis, job_id, status)
    again = submit(queue)
    assert (again != job_id, submit(queue)) == (True, again)


def test_a_job_that_has_expired_answers_no_equal_request(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    redis.delete(f"rq:job:{job_id}")
    assert submit(queue) != job_id


def test_who_asks_for_what_is_known_needs_no_room(queue: Blocking) -> None:
    known = submit(queue)
    fill(queue, MAX_QUEUED - 1)
    assert submit(queue) == known


def test_one_key_at_once_is_one_job(queue: Blocking, redis: Redis) -> None:
    jobs = at_once(THREADS, lambda _: submit(queue, key="seven"))
    assert (len(set(jobs)), redis.llen(QUEUE)) == (1, 1)


def test_of_different_requests_under_one_key_at_once_one_is_let_in(queue: Blocking, redis: Redis) -> None:
    def ask(thread: int) -> bool:
        try:
            submit(queue, key="seven", seed=thread)
        except KeyReused:
            return False
        return True

    assert (sum(at_once(THREADS, ask)), redis.llen(QUEUE)) == (1, 1)


def test_a_key_whose_job_has_expired_queues_its_request_anew(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue, key="seven")
    redis.delete(f"rq:job:{job_id}")
    again = submit(queue, key="seven")
    assert (again != job_id, queue.view(again).state) == (True, JobState.QUEUED)


def test_a_key_that_came_late_to_a_job_is_bound_to_it(queue: Blocking, redis: Redis) -> None:
    job_id = submit(queue)
    submit(queue, key="seven")
    put(redis, job_id, JobStatus.FAILED)
    assert submit(queue, key="seven") == job_id
