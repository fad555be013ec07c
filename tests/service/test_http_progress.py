"""Owns the laws of what `GET /jobs/{id}` says of a job on its way: its place, its progress, its estimate."""

import httpx
import pytest
from redis import Redis
from rq.job import JobStatus

from tests.service.image_files import encoded, plain
from tests.service.stand_in import StandIn
from tests.service.submissions import put
from worker.contract import PREVIEW_FIELD, PROGRESS_FIELD, JobEvent, JobState, Kind, pace_key
from worker.news import tell, tell_state

AT_ONCE = {"Prefer": "respond-async"}
IMAGE = encoded(plain("L", (28, 28), 7), "PNG")


@pytest.fixture
def running(api: httpx.Client, redis: Redis) -> str:
    """The path of a job of four images that a worker works on, at 10 s an image."""
    redis.set(pace_key(Kind.GENERATE, "digits"), 10)
    path: str = api.post("/generate?n=4", headers=AT_ONCE).headers["Location"]
    put(redis, path, JobStatus.STARTED)
    return path


def note(redis: Redis, path: str, progress: str) -> None:
    """Set how far a job is, as its worker would."""
    redis.hset(f"rq:job:{path.removeprefix('/jobs/')}", PROGRESS_FIELD, progress)


def test_the_place_of_a_job_is_the_number_of_jobs_ahead(api: httpx.Client) -> None:
    paths = [api.post(f"/generate?n={n}", headers=AT_ONCE).headers["Location"] for n in (16, 2, 1)]
    assert [api.get(path).json()["position"] for path in paths] == [0, 1, 2]


def test_the_estimate_counts_the_images_ahead(api: httpx.Client, redis: Redis) -> None:
    redis.set(pace_key(Kind.GENERATE, "digits"), 10)
    paths = [api.post(f"/generate?n={n}", headers=AT_ONCE).headers["Location"] for n in (16, 2, 1)]
    assert [api.get(path).json()["eta_s"] for path in paths] == [160, 180, 190]


def test_a_score_under_every_class_counts_the_passes_it_takes(api: httpx.Client, redis: Redis) -> None:
    redis.set(pace_key(Kind.SCORE, "digits"), 3)
    headers = {"Content-Type": "image/png", **AT_ONCE}
    queries = ("", "?class=7", "?class=all", "?class=all&patches=true", "?alpha=0.1")
    answers = [api.post(f"/score{query}", content=IMAGE, headers=headers) for query in queries]
    assert [answer.json()["eta_s"] for answer in answers] == [3, 6, 39, 72, 75]


def test_those_behind_move_up_when_a_job_is_done(api: httpx.Client, stand_in: StandIn) -> None:
    paths = [api.post("/generate", headers=AT_ONCE).headers["Location"] for _ in range(3)]
    stand_in.work(Kind.GENERATE)
    assert [api.get(path).json()["position"] for path in paths] == [None, 0, 1]


def test_the_queue_of_the_other_kind_is_not_ahead(api: httpx.Client) -> None:
    api.post("/generate", headers=AT_ONCE)
    answer = api.post("/score", content=IMAGE, headers={"Content-Type": "image/png", **AT_ONCE})
    assert answer.json()["position"] == 0


def test_a_job_that_waits_has_made_no_progress(api: httpx.Client) -> None:
    assert api.post("/generate", headers=AT_ONCE).json()["progress"] == 0


def test_a_job_that_has_just_begun_has_made_no_progress(running: str, api: httpx.Client) -> None:
    assert api.get(running).json()["progress"] == 0


@pytest.mark.parametrize(("noted", "progress"), [("0/4", 0), ("1/4", 0.25), ("2/4", 0.5), ("4/4", 1)])
def test_progress_is_the_share_that_is_done(
    noted: str, progress: float, running: str, api: httpx.Client, redis: Redis
) -> None:
    note(redis, running, noted)
    assert api.get(running).json()["progress"] == progress


def test_a_job_that_has_succeeded_has_made_all_of_it(api: httpx.Client, stand_in: StandIn) -> None:
    path = api.post("/generate", headers=AT_ONCE).headers["Location"]
    stand_in.work(Kind.GENERATE)
    assert api.get(path).json()["progress"] == 1


def test_the_estimate_falls_with_progress(running: str, api: httpx.Client, redis: Redis) -> None:
    estimates = []
    for noted in ("0/4", "1/4", "2/4", "3/4"):
        note(redis, running, noted)
        estimates.append(api.get(running).json()["eta_s"])
    assert estimates == [40, 30, 20, 10]


def test_the_estimate_of_a_job_that_is_all_but_done_is_a_second(running: str, api: httpx.Client, redis: Redis) -> None:
    note(redis, running, "4/4")
    assert api.get(running).json()["eta_s"] == 1


def test_who_asks_for_a_job_on_its_way_is_told_of_its_progress(api: httpx.Client, redis: Redis) -> None:
    path = api.post("/generate?seed=5", headers=AT_ONCE).headers["Location"]
    put(redis, path, JobStatus.STARTED)
    note(redis, path, "2/4")
    body = api.post("/generate?seed=5", headers=AT_ONCE).json()
    assert (body["state"], body["progress"], body["position"]) == ("running", 0.5, None)


@pytest.mark.parametrize(("prefer", "wanted"), [("respond-async, previews", b"1"), ("respond-async", None)])
def test_previews_are_kept_from_the_first_for_who_wants_them(
    prefer: str, wanted: bytes | None, api: httpx.Client, redis: Redis
) -> None:
    answer = api.post("/generate", headers={"Prefer": prefer})
    assert answer.headers["Preference-Applied"] == prefer
    assert redis.hget(f"rq:job:{answer.json()['job_id']}", PREVIEW_FIELD) == wanted


def test_the_events_of_a_running_job_cost_no_estimate(running: str, api: httpx.Client, redis: Redis) -> None:
    def estimates() -> int:
        """How often a pace was looked up."""
        return int(redis.info("commandstats")["cmdstat_get"]["calls"])

    job_id = running.removeprefix("/jobs/")
    tell(redis, job_id, JobEvent.PROGRESS, {"progress": 0.5})
    api.get(running)
    before, told = estimates(), []
    with api.stream("GET", f"{running}/events") as stream:
        for line in stream.iter_lines():
            if line == "event: progress":
                tell_state(redis, job_id, JobState.SUCCEEDED)
            told.append(line)
    assert (estimates() - before, "event: done" in told) == (0, True)
