"""Owns the laws of the passage to RQ: its states, and how long anything is kept."""

import pytest
from redis import Redis
from rq.job import Job, JobStatus

from service.admission import LONGEST_QUEUED_S
from service.errors import UnknownJob
from service.job_queue import new_job_id
from service.job_record import STATES
from tests.service.submissions import JOB_TIMEOUT_S, REQUEST, RESULT_TTL_S, job_queue, submit
from worker.contract import JobState


def submitted(redis: Redis) -> Job:
    """The job of a request that was queued."""
    return Job.fetch(submit(job_queue(redis)), connection=redis, serializer="json")


def test_every_state_of_rq_is_one_of_ours() -> None:
    assert set(STATES) == set(JobStatus)


def test_every_state_of_ours_is_one_of_rqs() -> None:
    assert set(STATES.values()) == set(JobState)


def test_what_a_state_of_rq_ends_ends_with_us() -> None:
    ended = {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED}
    assert {status for status, state in STATES.items() if state.is_terminal} == ended


def test_a_request_comes_out_as_it_went_in(redis: Redis) -> None:
    job = submitted(redis)
    assert job_queue(redis).view(job.id).request == REQUEST


@pytest.mark.parametrize("job_id", ["", "seven", "7" * 31, "7" * 33, "A" * 32, "é", "a.b", "a:b", "7" * 32])
def test_what_is_no_job_of_ours_is_an_unknown_job(job_id: str, redis: Redis) -> None:
    with pytest.raises(UnknownJob):
        job_queue(redis).view(job_id)


def test_nothing_is_kept_for_ever(redis: Redis) -> None:
    job = submitted(redis)
    assert (job.ttl, job.result_ttl, job.failure_ttl) == (LONGEST_QUEUED_S, RESULT_TTL_S, RESULT_TTL_S)


def test_a_job_may_run_for_as_long_as_the_settings_say(redis: Redis) -> None:
    assert submitted(redis).timeout == JOB_TIMEOUT_S


def test_what_redis_holds_of_a_job_is_no_pickle(redis: Redis) -> None:
    job = submitted(redis)
    assert b"digits" in job.data
    assert job.data.startswith(b"[")


def test_no_two_jobs_have_one_name() -> None:
    assert len({new_job_id() for _ in range(1000)}) == 1000
