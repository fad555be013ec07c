"""Owns the laws of `GET /jobs/{id}` and its result: states, failures, tags."""

from collections.abc import Callable
from urllib.parse import urlencode

import httpx
import pytest
from redis import Redis
from rq.job import JobStatus

from service.content_negotiation import JSON, PNG
from tests.service.image_files import encoded, plain
from tests.service.problem_answers import fields_of, problem_of, retry_after_s
from tests.service.stand_in import StandIn, picture
from tests.service.submissions import put
from worker.contract import Kind, pictures_key
from worker.errors import JobError, ModelChanged, NonFiniteSample, Overflow

Ask = Callable[..., httpx.Response]
AT_ONCE = {"Prefer": "respond-async"}
SECRET = "the words of our own exception"


@pytest.fixture
def queued(api: httpx.Client) -> str:
    """The path of a job that nobody has begun."""
    return api.post("/generate?seed=5", headers=AT_ONCE).headers["Location"]


@pytest.fixture
def done(queued: str, stand_in: StandIn) -> str:
    """The path of a job that has succeeded."""
    stand_in.work(Kind.GENERATE)
    return queued


@pytest.fixture
def failed(queued: str, stand_in: StandIn) -> Callable[[Exception], str]:
    """The path of a job that has failed in this way."""

    def fail(failure: Exception) -> str:
        StandIn(stand_in.connection, failure=failure).work(Kind.GENERATE)
        return queued

    return fail


@pytest.mark.parametrize("path", ["/jobs/seven", "/jobs/seven/result", "/jobs/" + "7" * 32, "/jobs/%FF%00"])
def test_an_unknown_job_is_not_found(path: str, api: httpx.Client) -> None:
    assert problem_of(api.get(path), 404)["type"] == "urn:tarflow:problem:unknown-job"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (JobStatus.QUEUED, "queued"),
        (JobStatus.STARTED, "running"),
        (JobStatus.FINISHED, "succeeded"),
        (JobStatus.FAILED, "failed"),
        (JobStatus.CANCELED, "cancelled"),
        (JobStatus.STOPPED, "cancelled"),
    ],
)
def test_a_job_says_its_state(status: JobStatus, state: str, queued: str, api: httpx.Client, redis: Redis) -> None:
    put(redis, queued, status)
    assert api.get(queued).json()["state"] == state


def test_only_a_queued_job_has_a_place(queued: str, api: httpx.Client, redis: Redis) -> None:
    before = api.get(queued).json()["position"]
    put(redis, queued, JobStatus.STARTED)
    assert (before, api.get(queued).json()["position"]) == (0, None)


def test_a_job_that_has_ended_has_no_estimate(done: str, api: httpx.Client) -> None:
    assert api.get(done).json()["eta_s"] is None


def test_a_job_that_has_ended_says_when(done: str, api: httpx.Client) -> None:
    body = api.get(done).json()
    assert body["created_at"] <= body["started_at"] <= body["ended_at"]


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.STARTED])
def test_the_result_of_a_job_that_has_not_ended_is_not_there_yet(
    status: JobStatus, queued: str, api: httpx.Client, redis: Redis
) -> None:
    put(redis, queued, status)
    answer = api.get(f"{queued}/result")
    assert problem_of(answer, 409)["type"] == "urn:tarflow:problem:result-not-ready"
    assert retry_after_s(answer)


def test_a_cancelled_job_has_no_result_and_never_will(queued: str, api: httpx.Client, redis: Redis) -> None:
    put(redis, queued, JobStatus.CANCELED)
    answer = api.get(f"{queued}/result")
    assert problem_of(answer, 409)["type"] == "urn:tarflow:problem:job-cancelled"
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (NonFiniteSample(SECRET), "the picture was not finite, with guidance or without"),
        (ModelChanged(SECRET), "the model was replaced meanwhile; ask again"),
        (JobError(SECRET), "the worker met an internal error"),
        (RuntimeError(SECRET), "the worker met an internal error"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "told",
)
def test_a_failure_is_told_by_its_reason_and_not_in_its_words(
    failure: Exception, told: str, failed: Callable[[Exception], str], api: httpx.Client
) -> None:
    answer = api.get(failed(failure) + "/result")
    assert problem_of(answer, 500)["detail"].endswith(told)
    assert SECRET not in answer.text


def test_the_state_of_a_failed_job_tells_its_reason_too(failed: Callable[[Exception], str], api: httpx.Client) -> None:
    body = api.get(failed(ModelChanged(SECRET))).json()
    assert (body["state"], body["failure"]) == ("failed", "the model was replaced meanwhile; ask again")


@pytest.mark.parametrize(
    ("query", "under"), [("?class=7&guidance=9", "digits, class 7"), ("?guidance=9", "digits, without a class")]
)
def test_a_job_that_fails_for_its_guidance_names_it_and_is_no_fault_of_ours(
    query: str, under: str, api: httpx.Client, stand_in: StandIn
) -> None:
    failing = StandIn(stand_in.connection, failure=Overflow("guidance", SECRET))
    answer = failing.work_while(Kind.GENERATE, lambda: api.post(f"/generate{query}"))
    words = f"float32 overflows at this guidance under {under}, and at 0 does not; try a lower one"
    assert fields_of(answer) == {"query guidance": words}
    assert SECRET not in answer.text


def test_seeds_that_give_no_finite_picture_are_named_and_are_no_fault_of_ours(
    api: httpx.Client, stand_in: StandIn
) -> None:
    failing = StandIn(stand_in.connection, failure=Overflow("seed", SECRET, rows=(1, 3)))
    answer = failing.work_while(Kind.GENERATE, lambda: api.post("/generate?n=4&seed=2000"))
    (words,) = fields_of(answer).values()
    assert fields_of(answer).keys() == {"query seed"}
    assert words.startswith(
        "no finite picture comes of 2001, 2003 under digits, without a class; give another, or none"
    )
    later = api.get(f"/jobs/{answer.headers['X-Job-Id']}/result")
    assert fields_of(later) == {"query seed": words}


def test_who_waits_for_a_job_that_fails_is_told_so(api: httpx.Client, stand_in: StandIn) -> None:
    failing = StandIn(stand_in.connection, failure=NonFiniteSample(SECRET))
    answer = failing.work_while(Kind.GENERATE, lambda: api.post("/generate"))
    assert problem_of(answer, 500)["type"] == "urn:tarflow:problem:job-failed"


def test_a_result_is_answered_as_the_post_would_have_been(generate: Ask, api: httpx.Client) -> None:
    posted = generate("?seed=5")
    again = api.get(f"/jobs/{posted.headers['X-Job-Id']}/result")
    names = ("X-Job-Id", "X-Seed", "X-Model", "ETag", "Vary", "Content-Type")
    assert (again.content, [again.headers[name] for name in names]) == (
        posted.content,
        [posted.headers[name] for name in names],
    )


def test_a_result_can_be_had_in_both_types(done: str, api: httpx.Client) -> None:
    types = [api.get(f"{done}/result", headers={"Accept": each}).headers["Content-Type"] for each in (PNG, JSON)]
    assert types == [PNG, JSON]


def test_a_result_in_another_type_is_not_to_be_had(done: str, api: httpx.Client) -> None:
    problem_of(api.get(f"{done}/result", headers={"Accept": "text/html"}), 406)


def test_the_result_of_a_score_is_json_to_those_who_do_not_care(score: Ask, api: httpx.Client) -> None:
    image = encoded(plain("L", (28, 28), 7), "PNG")
    posted = score(content=image, headers={"Content-Type": "image/png"})
    assert api.get(f"/jobs/{posted.headers['X-Job-Id']}/result").json() == posted.json()


def test_a_picture_that_has_expired_is_not_found(done: str, api: httpx.Client, redis: Redis) -> None:
    redis.delete(pictures_key(done.removeprefix("/jobs/")))
    assert "expired" in problem_of(api.get(f"{done}/result"), 404)["detail"]


def test_equal_requests_have_equal_tags(generate: Ask, api: httpx.Client) -> None:
    one, two = generate("?seed=5&class=7"), api.post("/generate?seed=5&class=7")
    assert one.headers["ETag"] == two.headers["ETag"]


def test_a_default_that_is_given_changes_no_tag(generate: Ask, api: httpx.Client) -> None:
    one = generate("?seed=5")
    two = api.post("/generate?seed=5&guidance=1.5&denoise=true&n=1&model=digits")
    assert one.headers["ETag"] == two.headers["ETag"]


def test_a_tag_is_strong(generate: Ask) -> None:
    tag = generate().headers["ETag"]
    assert tag[0] == tag[-1] == '"'


@pytest.mark.parametrize(
    "change", ["seed=6", "class=8", "guidance=3", "n=2", "denoise=false", "attention_temperature=1"]
)
def test_different_requests_have_different_tags(change: str, generate: Ask) -> None:
    query = {"seed": "5", "class": "7", "guidance": "2", "n": "1", "denoise": "true", "attention_temperature": "0.5"}
    one, two = (generate(f"?{urlencode(each)}") for each in (query, query | dict([change.split("=")])))
    assert one.headers["ETag"] != two.headers["ETag"]


def test_other_weights_give_another_tag(generate: Ask, stand_in: StandIn) -> None:
    one = generate("?seed=5")
    StandIn(stand_in.connection, stand_in.facts.model_copy(update={"digest": "e2" * 32})).announce()
    assert one.headers["ETag"] != generate("?seed=5").headers["ETag"]


def test_the_two_types_of_a_result_have_different_tags(done: str, api: httpx.Client) -> None:
    tags = {api.get(f"{done}/result", headers={"Accept": each}).headers["ETag"] for each in (PNG, JSON)}
    assert len(tags) == 2


@pytest.mark.parametrize("match", ["{}", '"another", {}', "W/{}", "*"])
def test_who_has_the_result_already_is_not_sent_it_again(match: str, done: str, api: httpx.Client) -> None:
    tag = api.get(f"{done}/result").headers["ETag"]
    answer = api.get(f"{done}/result", headers={"If-None-Match": match.format(tag)})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)


def test_who_has_another_result_is_sent_this_one(done: str, api: httpx.Client) -> None:
    assert api.get(f"{done}/result", headers={"If-None-Match": '"another"'}).content == picture(5)


def test_a_result_that_is_not_there_yet_is_in_nobodys_hands(queued: str, api: httpx.Client) -> None:
    problem_of(api.get(f"{queued}/result", headers={"If-None-Match": "*"}), 409)
