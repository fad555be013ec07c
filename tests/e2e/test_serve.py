"""Laws of `tarflow serve` as a user meets it: one command, and the answers of real workers."""

import base64
import io
import math
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from tests.e2e.conftest import TARFLOW, Launcher, Site, answers
from tests.e2e.machine import STOP_TIMEOUT_S, until

JSON = {"Accept": "application/json"}


def generated(site: Site, **query: Any) -> bytes:
    """The PNG that a POST answers."""
    answer = site.http.post("/generate", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return answer.content


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height, the picture fully decoded."""
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


def scored(site: Site, png: bytes, **query: Any) -> dict[str, Any]:
    """The one result of a score."""
    answer = site.http.post("/score", params=query, content=png, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return dict(result)


def test_it_says_when_it_is_ready_and_what_to_try(live: Site) -> None:
    said = live.program.said()
    assert f"tarflow: ready at http://127.0.0.1:{live.port}" in said
    assert f'curl -X POST "http://127.0.0.1:{live.port}/generate' in said


def test_it_is_ready_when_it_says_so(live: Site) -> None:
    assert live.http.get("/readyz").json() == {
        "status": "ready",
        "model": "tiny",
        "workers": {"generate": 1, "score": 1},
    }


def test_a_picture_has_the_size_of_the_model(live: Site) -> None:
    assert size_of(generated(live, **{"class": "dog"})) == (8, 8)


def test_several_pictures_come_as_a_sheet(live: Site) -> None:
    assert size_of(generated(live, n=4)) == (22, 22)


def test_several_pictures_come_one_by_one_as_json(live: Site) -> None:
    answer = live.http.post("/generate", params={"n": 3, "seed": 5}, headers=JSON).json()
    assert [image["seed"] for image in answer["images"]] == [5, 6, 7]
    assert [size_of(base64.b64decode(image["png_base64"])) for image in answer["images"]] == [(8, 8)] * 3


def test_a_picture_among_several_is_the_one_made_alone(live: Site) -> None:
    answer = live.http.post("/generate", params={"n": 3, "seed": 5}, headers=JSON).json()
    assert base64.b64decode(answer["images"][2]["png_base64"]) == generated(live, seed=7)


def test_the_same_seed_gives_the_same_bytes(live: Site) -> None:
    assert generated(live, seed=11) == generated(live, seed=11)


def test_no_seed_gives_another_picture_each_time(live: Site) -> None:
    assert generated(live) != generated(live)


def test_the_seed_it_drew_is_told_and_makes_the_picture_again(live: Site) -> None:
    answer = live.http.post("/generate")
    assert generated(live, seed=answer.headers["X-Seed"]) == answer.content


def test_the_command_line_makes_the_same_file_without_a_server(
    live: Site, launcher: Launcher, tiny: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    arguments = [
        TARFLOW,
        "generate",
        "--model",
        tiny,
        "--class",
        "owl",
        "--seed",
        "3",
        "--out",
        str(out),
        "--device",
        "cpu",
    ]
    subprocess.run(arguments, env=launcher.environment(), check=True, capture_output=True, timeout=120)
    assert out.read_bytes() == generated(live, seed=3, **{"class": "owl"})


def test_a_picture_it_made_can_be_scored(live: Site) -> None:
    score = scored(live, generated(live, seed=1))
    assert score["dims"] == 64
    assert math.isfinite(score["bits_per_dim"])
    assert score["log_likelihood_nats"] == score["log_prior_nats"] + score["log_abs_det_nats"]


def test_the_same_image_gets_the_same_numbers(live: Site) -> None:
    png = generated(live, seed=1)
    assert scored(live, png) == scored(live, png)


def test_an_image_is_scored_under_every_class(live: Site) -> None:
    score = scored(live, generated(live, seed=1), **{"class": "all"})
    assert [each["class_name"] for each in score["classes"]] == ["cat", "dog", "owl"]
    assert math.fsum(each["posterior"] for each in score["classes"]) == pytest.approx(1)


def test_a_job_not_waited_for_has_the_same_picture(live: Site) -> None:
    accepted = live.http.post("/generate", params={"seed": 4712}, headers={"Prefer": "respond-async"})
    assert accepted.status_code == 202
    location = accepted.headers["Location"]
    until(lambda: live.http.get(location).json()["state"] == "succeeded")
    # Not asked for again by itself: an equal request would be answered by the same job.
    two = live.http.post("/generate", params={"seed": 4711, "n": 2}, headers={"Accept": "application/json"}).json()
    assert live.http.get(f"{location}/result").content == base64.b64decode(two["images"][1]["png_base64"])


def test_a_port_that_is_taken_is_exit_status_2_and_is_named(live: Site, launcher: Launcher, tiny: str) -> None:
    command = [TARFLOW, "serve", "--port", str(live.port), "--models", tiny]
    second = subprocess.run(command, env=launcher.environment(), capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert f"port {live.port}" in second.stderr


def test_a_server_stays_when_a_second_one_cannot_start(live: Site, launcher: Launcher, tiny: str) -> None:
    command = [TARFLOW, "serve", "--port", str(live.port), "--models", tiny]
    subprocess.run(command, env=launcher.environment(), capture_output=True, timeout=60)
    assert live.http.get("/readyz").status_code == 200


@pytest.mark.parametrize("kind", ["generate", "score"])
def test_a_killed_worker_is_started_again_and_answers_as_before(live: Site, kind: str) -> None:
    png = generated(live, seed=11)
    before = scored(live, png)
    killed = live.program.worker(kind)
    assert killed is not None
    killed.send_signal(signal.SIGKILL)
    until(lambda: replaced(live, kind, killed))
    assert generated(live, seed=11) == png
    assert scored(live, png) == before


def test_a_killed_redis_is_started_again_with_its_jobs_and_all_go_on_with_it(live: Site) -> None:
    job_id = live.http.post("/generate", params={"seed": 11}).headers["X-Job-Id"]
    (server,) = [child for child in live.program.children() if child.name().endswith("-server")]
    server.send_signal(signal.SIGKILL)
    server.wait(STOP_TIMEOUT_S)
    until(lambda: answers(live.http, "/readyz"))
    assert live.http.get(f"/jobs/{job_id}").json()["state"] == "succeeded"
    until(lambda: live.http.post("/generate", params={"seed": 12}).status_code == 200)


def test_a_model_that_does_not_exist_is_exit_status_2_before_anything_starts(launcher: Launcher) -> None:
    command = [TARFLOW, "serve", "--models", "unheard-of"]
    ended = subprocess.run(command, env=launcher.environment(), capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "'unheard-of'" in ended.stderr


def replaced(site: Site, kind: str, killed: psutil.Process) -> bool:
    """Whether another worker has the place of a killed one."""
    worker = site.program.worker(kind)
    return worker is not None and worker != killed
