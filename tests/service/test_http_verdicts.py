"""Owns the laws of what `POST /score` answers of a calibrated model: verdicts, warnings, patches, heat maps, bounds."""

from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from redis import Redis

from service.content_negotiation import JSON, PNG
from tests.service.image_files import encoded, noise, plain
from tests.service.problem_answers import fields_of, problem_of
from tests.service.stand_in import CALIBRATED, FACTS, HEAT_SEED, StandIn, picture
from worker.contract import MAX_CLASS_PASSES, Kind, pictures_key
from worker.contract.score_answer import VERDICT_FIELDS
from worker.presence import announce

Score = Callable[..., httpx.Response]
PNG_TYPE = {"Content-Type": "image/png"}
GREY = encoded(plain("L", (28, 28), 7), "PNG")
WHO = ("", "?calibration=night")
AT_ONCE = {**PNG_TYPE, "Prefer": "respond-async"}


@pytest.fixture
def worker(redis: Redis) -> StandIn:
    """One that has announced a calibrated model."""
    stand_in = StandIn(redis, CALIBRATED)
    stand_in.announce(*Kind)
    return stand_in


@pytest.fixture
def score(live_api: httpx.Client, worker: StandIn) -> Score:
    """`POST /score` of one grey image, its job done while it waits."""

    def ask(query: str = "", **headers: str) -> httpx.Response:
        options: dict[str, Any] = {"content": GREY, "headers": {**PNG_TYPE, **headers}}
        return worker.work_while(Kind.SCORE, lambda: live_api.post(f"/score{query}", **options))

    return ask


@pytest.fixture
def refused(live_api: httpx.Client, worker: StandIn) -> Callable[[str], dict[str, str]]:
    """What a 422 says of each field of a query."""
    assert worker.facts is CALIBRATED
    return lambda query: fields_of(live_api.post(f"/score?{query}", content=GREY, headers=PNG_TYPE))


def files(count: int) -> dict[str, Any]:
    """A form of so many images."""
    return {"files": [("image", ("a.png", GREY, "image/png"))] * count}


def test_an_image_is_answered_with_its_verdict_and_who_judged(score: Score) -> None:
    (result,) = score("?alpha=0.05").json()["results"]
    assert {name: result[name] for name in (*VERDICT_FIELDS, "alpha", "warnings")} == {
        "anomaly_score": 9.0,
        "percentile": 100.0,
        "p_value": 0.01,
        "is_anomaly": True,
        "direction": "unusual_latent",
        "alpha": 0.05,
        "warnings": [],
    }
    assert result["calibration"] == {"name": "default", "digest": "c0" * 32, "n": 99, "view": "none"}


def test_a_calibration_is_chosen_by_name(score: Score) -> None:
    assert score("?calibration=night").json()["results"][0]["calibration"]["name"] == "night"


def test_a_calibration_made_with_another_png_encoder_is_warned_of(live_api: httpx.Client, redis: Redis) -> None:
    (first, *others) = CALIBRATED.calibrations
    elsewhere = (first.model_copy(update={"png_lengths_differ": True}), *others)
    worker = StandIn(redis, CALIBRATED.model_copy(update={"calibrations": elsewhere}))
    worker.announce(*Kind)
    asked = {each: partial(live_api.post, f"/score{each}", content=GREY, headers=PNG_TYPE) for each in WHO}
    found = {each: worker.work_while(Kind.SCORE, ask).json()["results"][0]["warnings"] for each, ask in asked.items()}
    said = "PNGs have other lengths here than where the calibration was made: complexity and verdicts shift"
    assert found == dict(zip(WHO, ([said], []), strict=True))


@pytest.mark.parametrize(("alpha", "warned"), [("0.01", False), ("0.0099", True)])
def test_an_alpha_that_no_p_value_reaches_is_warned_of(score: Score, alpha: str, warned: bool) -> None:
    expected = [f"alpha {alpha} is never reached: 99 calibration images allow no p-value under 0.01"] * warned
    assert score(f"?alpha={alpha}").json()["results"][0]["warnings"] == expected


def test_what_was_done_to_an_image_is_warned_of(live_api: httpx.Client, worker: StandIn) -> None:
    content = encoded(noise((30, 20)), "PNG")
    answer = worker.work_while(Kind.SCORE, lambda: live_api.post("/score", content=content, headers=PNG_TYPE))
    assert answer.json()["results"][0]["warnings"] == [
        "resized from 30 x 20: likelihoods and verdicts change with it",
        "converted from RGB: likelihoods and verdicts change with it",
    ]


@pytest.mark.parametrize("lossy", ["JPEG", "WEBP"])
def test_a_format_that_may_change_pixels_is_warned_of(lossy: str, live_api: httpx.Client, worker: StandIn) -> None:
    content, headers = encoded(plain("L", (28, 28), 7), lossy), {"Content-Type": f"image/{lossy.lower()}"}
    answer = worker.work_while(Kind.SCORE, lambda: live_api.post("/score", content=content, headers=headers))
    (result,) = answer.json()["results"]
    assert f"{lossy} may have changed pixels: likelihoods and verdicts change with it" in result["warnings"]


def test_a_calibration_that_is_gone_meanwhile_is_still_named(
    score: Score, live_api: httpx.Client, redis: Redis
) -> None:
    location = f"/jobs/{score().headers['X-Job-Id']}/result"
    StandIn(redis).announce(*Kind)
    found = live_api.get(location).json()["results"][0]["calibration"]
    assert found == {"name": "default", "digest": "c0" * 32, "n": None, "view": "none"}


def test_several_images_are_decided_together_too(live_api: httpx.Client, worker: StandIn) -> None:
    answer = worker.work_while(Kind.SCORE, lambda: live_api.post("/score?alpha=0.01", **files(3))).json()
    assert answer["benjamini_hochberg"] == {"alpha": 0.01, "anomalies": [0, 1, 2]}


def test_one_image_needs_no_decision_together(score: Score) -> None:
    assert "benjamini_hochberg" not in score().json()


@pytest.mark.parametrize(("query", "patches"), [("?patches=true", [196.0] * 4), ("", None), ("?patches=false", None)])
def test_patches_are_listed_where_they_are_asked_for(score: Score, query: str, patches: list[float] | None) -> None:
    assert score(query).json()["results"][0].get("patch_log_likelihood_nats") == patches


@pytest.mark.parametrize(
    ("query", "field", "limit"),
    [
        ("alpha=0", "alpha", "must be at least 0.000001"),
        ("alpha=0.51", "alpha", "must be at most 0.5"),
        ("alpha=nan", "alpha", "finite"),
        ("alpha=low", "alpha", "number"),
        ("patches=maybe", "patches", "must be true or false, got"),
        ("calibration=day", "calibration", "'day' is no calibration of digits: it has default, night"),
        ("calibration=", "calibration", "must have 1 or more characters, got"),
        ("calibration=" + "a" * 65, "calibration", "at most 64"),
        ("prior=1,1", "prior", "goes with class=all alone"),
        ("class=3&prior=1,1", "prior", "goes with class=all alone"),
        ("class=all&prior=1,1", "prior", "takes 10 finite weights of at least 0, one above 0, got '1,1'"),
        ("class=all&prior=", "prior", "numbers separated by commas"),
        ("class=all&prior=a,b", "prior", "numbers separated by commas"),
        ("class=all&prior=٣" + ",1" * 9, "prior", "numbers separated by commas"),
        ("class=all&prior=1_0" + ",1" * 9, "prior", "numbers separated by commas"),
        ("alpha=0.0_1", "alpha", "number"),
        ("class=all&prior=" + ",".join(["0"] * 10), "prior", "one above 0, got '0,0,0"),
        ("class=all&prior=-1" + ",1" * 9, "prior", "at least 0"),
        ("class=all&prior=nan" + ",1" * 9, "prior", "finite"),
        ("class=all&prior=1,nan" + ",1" * 8, "prior", "finite"),
        ("class=all&prior=inf" + ",1" * 9, "prior", "finite"),
        ("class=all&prior=1e308" + ",1e308" * 9, "prior", "finite"),
        ("class=all&prior=" + "1" * 20_001, "prior", "at most 20000"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_field_and_limit(
    query: str, field: str, limit: str, refused: Callable[[str], dict[str, str]]
) -> None:
    assert limit in refused(query)[f"query {field}"]


def test_a_model_without_a_calibration_says_so(api: httpx.Client) -> None:
    found = fields_of(api.post("/score?calibration=default", content=GREY, headers=PNG_TYPE))
    assert found["query calibration"] == "'default' is no calibration of digits: it has none"


def test_the_weights_of_a_prior_are_shares(live_api: httpx.Client, worker: StandIn) -> None:
    weights = ",".join(["2", "6", *"0" * 8])
    answer = live_api.post(f"/score?class=all&prior={weights}", content=GREY, headers=AT_ONCE)
    assert answer.json()["request"]["prior"] == [0.25, 0.75, *[0.0] * 8]
    assert worker.facts.num_classes == 10


@pytest.mark.parametrize(("images", "status"), [(4, 202), (5, 422)])
def test_a_thousand_classes_are_bounded_and_the_most_is_said(
    live_api: httpx.Client, redis: Redis, images: int, status: int
) -> None:
    StandIn(redis, CALIBRATED.model_copy(update={"num_classes": 1000, "class_names": ()})).announce(Kind.SCORE)
    answer = live_api.post("/score?class=all", headers={"Prefer": "respond-async"}, **files(images))
    assert (answer.status_code, MAX_CLASS_PASSES // 1000) == (status, 4)
    if status == 422:
        assert fields_of(answer) == {"body image": "takes at most 4 with class=all, got 5"}


def test_a_png_is_a_heat_map(score: Score) -> None:
    answer = score(Accept=PNG)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, PNG)
    assert answer.content == picture(HEAT_SEED)


@pytest.mark.parametrize("accept", ["*/*", "application/*", f"{PNG};q=0.5, {JSON}"])
def test_who_does_not_insist_gets_json(score: Score, accept: str) -> None:
    assert score(Accept=accept).headers["Content-Type"] == JSON


def test_a_heat_map_is_of_one_image(live_api: httpx.Client, worker: StandIn) -> None:
    assert worker.facts is CALIBRATED
    found = fields_of(live_api.post("/score", headers={"Accept": PNG}, **files(2)))
    assert found == {"body image": "takes one for a heat map (Accept: image/png), got 2"}


@pytest.mark.parametrize("media_type", [PNG, JSON])
def test_the_job_of_a_heat_map_has_both_types(score: Score, live_api: httpx.Client, media_type: str) -> None:
    location = f"/jobs/{score(Accept=PNG).headers['X-Job-Id']}/result"
    answer = live_api.get(location, headers={"Accept": media_type})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    assert (answer.content == picture(HEAT_SEED)) == (media_type == PNG)


def test_the_job_of_a_score_has_no_picture(score: Score, live_api: httpx.Client) -> None:
    answer = live_api.get(f"/jobs/{score().headers['X-Job-Id']}/result", headers={"Accept": PNG})
    assert problem_of(answer, 406)["detail"].endswith("matches none of application/json")


def test_a_heat_map_that_has_expired_is_not_found(score: Score, live_api: httpx.Client, redis: Redis) -> None:
    job_id = score(Accept=PNG).headers["X-Job-Id"]
    redis.delete(pictures_key(job_id))
    answer = live_api.get(f"/jobs/{job_id}/result", headers={"Accept": PNG})
    assert "has expired" in problem_of(answer, 404)["detail"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?alpha=0.05", {}), ("?calibration=night", {}), ("?patches=true", {}), ("", {"Accept": PNG})],
    ids=["alpha", "calibration", "patches", "type"],
)
def test_another_wish_is_answered_under_another_tag(score: Score, query: str, headers: dict[str, str]) -> None:
    assert score().headers["ETag"] != score(query, **headers).headers["ETag"]


def test_another_calibration_of_the_name_is_answered_under_another_tag(
    score: Score, live_api: httpx.Client, redis: Redis
) -> None:
    before = score().headers["ETag"]
    (first, *others) = CALIBRATED.calibrations
    newer = (first.model_copy(update={"digest": "c9" * 32}), *others)
    worker = StandIn(redis, CALIBRATED.model_copy(update={"calibrations": newer}))
    worker.announce(*Kind)
    answer = worker.work_while(Kind.SCORE, lambda: live_api.post("/score", content=GREY, headers=PNG_TYPE))
    assert answer.headers["ETag"] != before


def test_a_model_tells_of_its_calibrations(live_api: httpx.Client, worker: StandIn) -> None:
    told = live_api.get(f"/models/{worker.facts.name}").json()["calibrations"]
    assert [(each["name"], each["n"], each["thresholds"]) for each in told] == [
        (name, 99, {"none": {"0.01": 7.0}}) for name in ("default", "night")
    ]


def test_what_other_workers_do_not_know_of_calibrations_hides_none(
    live_api: httpx.Client, redis: Redis, worker: StandIn
) -> None:
    announce(redis, "judge", Kind.SCORE, worker.facts, "cpu")
    announce(redis, "painter", Kind.GENERATE, FACTS, "cpu")
    told = live_api.get(f"/models/{FACTS.name}").json()["calibrations"]
    assert [each["name"] for each in told] == ["default", "night"]
    answer = live_api.post("/score?calibration=night", content=GREY, headers=AT_ONCE)
    assert answer.json()["request"]["calibration"]["name"] == "night"


def test_the_documentation_names_every_parameter_of_a_score(live_api: httpx.Client) -> None:
    told = live_api.get("/openapi.json").json()["paths"]["/score"]["post"]
    assert {each["name"] for each in told["parameters"] if each["in"] == "query"} == {
        "model", "class", "alpha", "calibration", "patches", "prior",
    }  # fmt: skip
    assert set(told["responses"]["200"]["content"]) == {JSON, PNG}
