"""Laws of `tarflow score` without a server: files in, the API's JSON out, exit status for scripts."""

import asyncio
import io
import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query
from PIL import Image

from model.calibration_files import save_calibration
from service.errors import InvalidInput
from service.problems import install
from service.queries import ScoreQuery
from service.settings import ServiceSettings
from service.uploads import Upload, decoded
from tests.worker.calibrated import calibration, noise
from tests.worker.conftest import CheckpointMaker
from worker.__main__ import main
from worker.contract import ModelFacts, ScoreInput
from worker.engine import Engine

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG of the model's size."""
    Image.linear_gradient("L").resize((8, 8)).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def score(model: str, *arguments: str) -> int:
    """`tarflow score`."""
    return main(["score", "--model", model, "--device", "cpu", *arguments])


def size_of(file: Path) -> tuple[int, int]:
    """Width and height of a picture."""
    with Image.open(file) as image:
        return image.size


def answered(captured: Captured) -> dict[str, Any]:
    """What was printed."""
    answer: dict[str, Any] = json.loads(captured.readouterr().out)
    return answer


def results(captured: Captured) -> list[dict[str, Any]]:
    """What was printed of each image."""
    found: list[dict[str, Any]] = answered(captured)["results"]
    return found


def test_score_prints_a_score_for_each_file_in_order(model: str, picture: Path, capsys: Captured) -> None:
    Image.new("L", (8, 8), 255).save(picture.with_name("white.png"))
    assert score(model, str(picture), str(picture.with_name("white.png"))) == 0
    gradient, white = results(capsys)
    score(model, str(picture.with_name("white.png")))
    assert results(capsys)[0]["log_likelihood_nats"] == pytest.approx(white["log_likelihood_nats"], rel=1e-5)
    assert gradient["log_likelihood_nats"] != white["log_likelihood_nats"]
    assert [each["file"] for each in (gradient, white)] == [str(picture), str(picture.with_name("white.png"))]


def test_score_takes_a_class_by_name(model: str, picture: Path, capsys: Captured) -> None:
    answers = []
    for name in ("dog", "1"):
        assert score(model, str(picture), "--class", name) == 0
        answers.append(answered(capsys))
    assert answers[0] == answers[1]
    assert (answers[0]["class"], answers[0]["class_name"]) == (1, "dog")


def test_score_under_all_classes_gives_each_its_posterior(model: str, picture: Path, capsys: Captured) -> None:
    assert score(model, str(picture), "--class", "all") == 0
    assert [each["class"] for each in results(capsys)[0]["classes"]] == [0, 1, 2]


def test_all_classes_of_a_flow_that_has_none_is_exit_status_2(
    make_checkpoint: CheckpointMaker, picture: Path, capsys: Captured
) -> None:
    assert score(str(make_checkpoint(num_classes=0)), str(picture), "--class", "all") == 2
    assert "it has no classes" in capsys.readouterr().err


def test_a_picture_of_another_size_and_colour_is_fitted_and_said_to_be(
    model: str, picture: Path, capsys: Captured
) -> None:
    Image.open(picture).convert("RGB").resize((32, 24)).save(picture)
    assert score(model, str(picture)) == 0
    (result,) = results(capsys)
    assert (result["resized_from"], result["converted_from"]) == ([32, 24], "RGB")
    assert any(warning.startswith("resized from 32 x 24") for warning in result["warnings"])


def test_score_judges_by_the_calibration_of_the_checkpoint(model: str, tmp_path: Path, capsys: Captured) -> None:
    save_calibration(calibration(Engine.start("tiny", model, "cpu")), Path(model))
    assert score(model, str(noise(tmp_path / "noise.png")), "--alpha", "0.5") == 0
    (result,) = results(capsys)
    assert (result["calibration"]["view"], result["is_anomaly"]) == ("none", result["p_value"] <= 0.5)


def test_score_without_a_calibration_has_no_verdict(model: str, picture: Path, capsys: Captured) -> None:
    assert score(model, str(picture)) == 0
    assert results(capsys)[0]["p_value"] is None


def test_score_lists_the_patches_that_are_asked_for(model: str, picture: Path, capsys: Captured) -> None:
    assert score(model, str(picture), "--patches") == 0
    assert len(results(capsys)[0]["patch_log_likelihood_nats"]) == 4


def test_score_writes_a_heat_map(model: str, picture: Path, tmp_path: Path) -> None:
    assert score(model, str(picture), "--heat-map", str(tmp_path / "heat.png")) == 0
    assert min(size_of(tmp_path / "heat.png")) > 336


def test_a_heat_map_of_several_is_exit_status_2(model: str, picture: Path, tmp_path: Path, capsys: Captured) -> None:
    assert score(model, str(picture), str(picture), "--heat-map", str(tmp_path / "heat.png")) == 2
    assert "--heat-map takes one file, got 2" in capsys.readouterr().err


@pytest.mark.parametrize(("alpha", "bound"), [("0", "0.000001"), ("0.6", "0.5"), ("nan", "finite")])
def test_an_alpha_out_of_bounds_is_exit_status_2_and_names_the_bound(
    model: str, picture: Path, capsys: Captured, alpha: str, bound: str
) -> None:
    assert score(model, str(picture), "--alpha", alpha) == 2
    said = capsys.readouterr().err
    assert said.startswith("tarflow score: alpha: ")
    assert bound in said


@pytest.fixture
def judged_model(model: str) -> str:
    """The same with calibrations `default` and `night`."""
    engine = Engine.start("tiny", model, "cpu")
    for seed, name in enumerate(("default", "night")):
        save_calibration(calibration(engine, name, seed), Path(model))
    return model


def test_score_judges_by_the_calibration_that_is_named(judged_model: str, picture: Path, capsys: Captured) -> None:
    found = []
    for options in ((), ("--calibration", "default"), ("--calibration", "night")):
        assert score(judged_model, str(picture), *options) == 0
        found.append(results(capsys)[0]["anomaly_score"])
    assert found[0] == found[1] != found[2]


def test_score_weighs_the_classes_by_a_prior(model: str, picture: Path, capsys: Captured) -> None:
    assert score(model, str(picture), "--class", "all", "--prior", "0,2,0") == 0
    assert [each["posterior"] for each in results(capsys)[0]["classes"]] == [0, 1, 0]


@pytest.mark.parametrize(
    "query",
    [
        {"calibration": "day"},
        {"calibration": ""},
        {"calibration": "a" * 65},
        {"alpha": "0"},
        {"alpha": "nan"},
        {"alpha": "low"},
        {"class": "cow"},
        {"class": "3"},
        {"prior": "1,1,1"},
        {"class": "1", "prior": "1,1,1"},
        {"class": "all", "prior": "1,1"},
        {"class": "all", "prior": "a,b,c"},
        {"class": "all", "prior": "0,0,0"},
        {"class": "all", "prior": "1,nan,1"},
        {"class": "all", "prior": "1" * 20_001},
    ],
    ids=str,
)
def test_score_refuses_what_the_http_api_refuses_in_the_same_words(
    judged_model: str, picture: Path, capsys: Captured, query: dict[str, str]
) -> None:
    options = [each for name, value in query.items() for each in (f"--{name}", value)]
    assert score(judged_model, str(picture), *options) == 2
    facts = Engine.start("tiny", judged_model, "cpu").facts()
    detail = asyncio.run(refusal(facts, query))
    assert capsys.readouterr().err == f"tarflow score: {detail}\n"


async def refusal(facts: ModelFacts, parameters: dict[str, str]) -> str:
    """What an app says that makes requests of queries, and answers as the service does."""
    app = FastAPI()
    install(app)

    @app.post("/score")
    def ask(query: Annotated[ScoreQuery, Query()]) -> None:
        query.request(facts, (ScoreInput(sha256="0"),))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as http:
        answer = await http.post("/score", params=parameters)
    return str(answer.json()["detail"])


def test_score_takes_no_more_files_than_the_http_api(model: str, picture: Path, capsys: Captured) -> None:
    assert score(model, *[str(picture)] * 65) == 2
    assert capsys.readouterr().err == "tarflow score: image: takes 1..64 files, got 65\n"


def test_a_long_score_says_in_plain_lines_how_far_it_is(
    model: str, picture: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.progress.LINE_INTERVAL_S", 0.0)
    assert score(model, *[str(picture)] * 64, "--class", "all") == 0
    lines = [f"score: {done} of 256 forward passes" for done in (64, 128, 192)]
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "truncated", "corrupt"])
def test_a_file_that_is_no_picture_is_exit_status_2_and_is_named(
    model: str, picture: Path, capsys: Captured, kind: str
) -> None:
    file = picture.with_name(f"{kind}.png")
    content = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(content, "PNG")
    png = content.getvalue()
    damaged = {"text": b"hello", "empty": b"", "truncated": png[: len(png) // 2], "corrupt": png[:60] + png[70:]}
    if kind == "folder":
        file.mkdir()
    elif kind in damaged:
        file.write_bytes(damaged[kind])
    assert score(model, str(picture), str(file)) == 2
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["gif", "large", "empty", "damaged"])
def test_score_refuses_the_files_that_the_http_api_refuses_in_its_words(
    model: str, tmp_path: Path, capsys: Captured, kind: str
) -> None:
    file = tmp_path / "file"
    if kind in ("gif", "large"):
        side, name = (8, "GIF") if kind == "gif" else (6400, "PNG")
        Image.new("L", (side, side)).save(file, name)
    else:
        Image.effect_noise((64, 64), 50).save(file, "PNG")
        file.write_bytes(file.read_bytes()[:1000] if kind == "damaged" else b"")
    assert score(model, str(file)) == 2
    with pytest.raises(InvalidInput) as refused:
        decoded(Upload("body", file.read_bytes()), ServiceSettings().max_image_pixels)
    (words,) = [each.message.removesuffix("; send the bytes of one image") for each in refused.value.errors]
    assert capsys.readouterr().err == f"tarflow score: {file}: {words}\n"
