"""Owns the laws of the service at a glance: who works on what, how much waits, how fast it goes."""

from typing import Any

import httpx
from redis import Redis

from tests.service.problem_answers import problem_of
from tests.service.stand_in import FACTS, StandIn
from worker.contract import Kind, device_key, done_key, pace_key
from worker.pace import Done, note_pace

IDLE = {"queued": 0, "running": 0, "seconds_per_image": None, "seconds_per_pass": None, "images_per_minute": 0.0}
MINUTE_S = 60


def queue(api: httpx.Client, kind: Kind = Kind.GENERATE, model: str = FACTS.name) -> dict[str, Any]:
    """Where one queue stands."""
    found: list[dict[str, Any]] = api.get("/status").json()["queues"]
    (wanted,) = [each for each in found if (each["model"], each["kind"]) == (model, kind)]
    return wanted


def test_every_queue_is_told_and_the_default_model(api: httpx.Client) -> None:
    body = api.get("/status").json()
    assert body["default"] == "digits"
    found = [(each["model"], each["kind"]) for each in body["queues"]]
    assert found == [(model, str(kind)) for model in ("digits", "deserted") for kind in Kind]


def test_a_queue_that_nobody_works_for_is_told_as_one(deserted_api: httpx.Client) -> None:
    assert queue(deserted_api) == {"model": "digits", "kind": "generate", "workers": 0, "devices": {}} | IDLE


def test_workers_are_counted_by_what_they_compute_on(api: httpx.Client, redis: Redis) -> None:
    redis.set(device_key("stand-in"), "NVIDIA H100")
    assert (queue(api)["workers"], queue(api)["devices"]) == (1, {"NVIDIA H100": 1})


def test_a_worker_that_says_nothing_of_its_device_is_counted_too(api: httpx.Client) -> None:
    assert queue(api)["devices"] == {"unknown": 1}


def test_jobs_that_wait_are_counted(api: httpx.Client) -> None:
    for seed in range(3):
        api.post(f"/generate?seed={seed}", headers={"Prefer": "respond-async"})
    assert (queue(api)["queued"], queue(api, Kind.SCORE)["queued"]) == (3, 0)


def test_the_pace_of_late_is_told(api: httpx.Client, redis: Redis) -> None:
    redis.set(pace_key(Kind.GENERATE, "digits"), 0.25)
    assert (queue(api)["seconds_per_image"], queue(api)["seconds_per_pass"]) == (0.25, None)


def test_images_of_this_minute_are_counted_whole_and_of_the_one_before_in_part(api: httpx.Client, redis: Redis) -> None:
    minute = int(redis.time()[0]) // MINUTE_S
    # Around a minute that ends meanwhile, too.
    for each in range(minute - 1, minute + 2):
        redis.set(f"{done_key(Kind.GENERATE, 'digits')}{each}", 60)
    assert 60 <= queue(api)["images_per_minute"] <= 120


def test_what_a_worker_notes_is_what_is_told(api: httpx.Client, stand_in: StandIn) -> None:
    note_pace(stand_in.connection, Kind.SCORE, "digits", Done(images=8, cost=16, batch_s=4.0))
    found = queue(api, Kind.SCORE)
    assert (found["seconds_per_image"], found["seconds_per_pass"]) == (None, 0.25)
    assert 0 < found["images_per_minute"] <= 8


def test_while_redis_is_away_it_says_so(orphan_api: httpx.Client) -> None:
    problem_of(orphan_api.get("/status"), 503)
