"""Owns the laws of refusing queries and headers: the status, the field, its limit; nothing is queued."""

import httpx
import pytest

from service.content_negotiation import JSON
from tests.service.problem_answers import fields_of, problem_of
from tests.service.stand_in import DIGITS, StandIn
from worker.contract import Kind, queue_name


@pytest.mark.parametrize(
    ("query", "field", "limit"),
    [
        ("class=10", "class", "0..9"),
        ("class=-1", "class", "0..9"),
        ("class=", "class", "0..9"),
        ("class=Seven", "class", "0..9"),
        ("class=" + "9" * 200, "class", "0..9"),
        ("class=" + "9" * 201, "class", "must have at most 200 characters, got"),
        ("guidance=-1", "guidance", "must be at least 0"),
        ("guidance=21", "guidance", "must be at most 20"),
        ("guidance=nan", "guidance", "must be finite, got"),
        ("guidance=inf", "guidance", "must be finite, got"),
        ("guidance=strong", "guidance", "must be a number, got"),
        ("n=0", "n", "must be at least 1"),
        ("n=17", "n", "must be at most 16"),
        ("n=two", "n", "must be a whole number, got"),
        ("seed=-1", "seed", "must be at least 0"),
        ("seed=9007199254740992", "seed", "must be at most 9007199254740991"),
        ("seed=1.5", "seed", "must be a whole number, got"),
        ("denoise=maybe", "denoise", "must be true or false, got"),
        ("attention_temperature=0", "attention_temperature", "must be at least 0.01"),
        ("attention_temperature=1.1", "attention_temperature", "must be at most 1"),
        ("n=1_0", "n", "must be a whole number, got"),
        ("n=3.0", "n", "must be a whole number, got"),
        ("n=٣", "n", "must be a whole number, got"),
        ("n=%205", "n", "must be a whole number, got"),
        ("seed=1_000", "seed", "must be a whole number, got"),
        ("seed=5.0", "seed", "must be a whole number, got"),
        ("guidance=1_0", "guidance", "must be a number, got"),
        ("guidance=%201", "guidance", "must be a number, got"),
        ("guidance=٣", "guidance", "must be a number, got"),
        ("attention_temperature=0.1_0", "attention_temperature", "must be a number, got"),
        ("class=007", "class", "0..9"),
        ("clas=7", "clas", "unknown"),
        ("class_=7", "class_", "unknown"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_field_and_limit(
    query: str, field: str, limit: str, api: httpx.Client
) -> None:
    assert limit in fields_of(api.post(f"/generate?{query}"))[f"query {field}"]


def test_an_unknown_class_is_told_the_range_and_the_names(api: httpx.Client) -> None:
    message = fields_of(api.post("/generate?class=eleven"))["query class"]
    assert message == f"'eleven' is no class of digits: give 0..9 or one of {', '.join(DIGITS)}"


def test_every_field_that_is_wrong_is_named(api: httpx.Client) -> None:
    assert set(fields_of(api.post("/generate?n=0&seed=-1&clas=7"))) == {"query n", "query seed", "query clas"}


def test_a_long_value_is_not_repeated_in_full(api: httpx.Client) -> None:
    assert len(problem_of(api.post(f"/generate?seed={'x' * 5000}"), 422)["detail"]) < 300


def test_all_classes_at_once_can_only_be_scored(api: httpx.Client) -> None:
    assert "'all' is no class" in fields_of(api.post("/generate?class=all"))["query class"]


def test_a_model_without_classes_says_so(api: httpx.Client, stand_in: StandIn) -> None:
    facts = stand_in.facts.model_copy(update={"class_names": (), "num_classes": 0})
    StandIn(stand_in.connection, facts).announce(Kind.GENERATE)
    assert fields_of(api.post("/generate?class=0"))["query class"].endswith("it has no classes")


def test_a_model_trained_without_gaussian_noise_cannot_denoise(api: httpx.Client, stand_in: StandIn) -> None:
    facts = stand_in.facts.model_copy(update={"noise_type": "uniform"})
    StandIn(stand_in.connection, facts).announce(Kind.GENERATE)
    assert "only false works" in fields_of(api.post("/generate?denoise=true"))["query denoise"]


@pytest.mark.parametrize("path", ["/generate", "/score"])
def test_an_unknown_model_is_not_found_and_told_which_there_are(path: str, api: httpx.Client) -> None:
    answer = api.post(f"{path}?model=afhq", content=b"BM", headers={"Content-Type": "image/bmp"})
    assert problem_of(answer, 404)["detail"] == "model: 'afhq' is not offered; there are digits, deserted"


def test_score_refuses_parameters_of_generate(api: httpx.Client) -> None:
    answer = api.post("/score?guidance=2", content=b"BM", headers={"Content-Type": "image/bmp"})
    assert "unknown" in fields_of(answer)["query guidance"]


@pytest.mark.parametrize("query", ["guidance=2", "guidance=2.5", "guidance=.5", "guidance=1e0", "n=16", "seed=0"])
def test_a_number_in_ascii_is_read(query: str, api: httpx.Client) -> None:
    assert api.post(f"/generate?{query}", headers={"Prefer": "respond-async"}).status_code == 202


@pytest.mark.parametrize("name", ["Idempotency-Key", "Last-Event-ID"])
def test_two_lines_of_a_header_that_is_no_list_are_refused(name: str, api: httpx.Client) -> None:
    answer = api.post("/generate", headers=[(name, "1-0"), (name, "1-0")])
    assert problem_of(answer, 400)["detail"] == f"{name}: is given more than once"


def test_every_line_of_a_list_counts(api: httpx.Client) -> None:
    wishes = [("Prefer", "previews"), ("Prefer", "respond-async")]
    first = api.post("/generate?seed=5", headers=wishes)
    assert (first.status_code, first.headers["Preference-Applied"]) == (202, "previews, respond-async")
    types = [("Accept", "text/html"), ("Accept", JSON), ("Accept", "image/png;q=0"), ("Prefer", "respond-async")]
    assert api.post("/generate?seed=5", headers=types).status_code == 202


def test_a_tag_in_the_second_line_is_seen(api: httpx.Client) -> None:
    tag = api.get("/").headers["ETag"]
    assert api.get("/", headers=[("If-None-Match", '"seven"'), ("If-None-Match", tag)]).status_code == 304


@pytest.mark.parametrize("path", ["/generate", "/score"])
@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Accept", "text/html", 406),
        ("Accept", f"{JSON};q=0", 406),
        ("Accept", "junk", 400),
        ("Prefer", "wait=abc", 400),
        ("Prefer", "wait=-1", 400),
    ],
)
def test_a_header_that_cannot_be_met_is_refused_by_name(
    path: str, header: str, value: str, status: int, api: httpx.Client
) -> None:
    if status == 406 and path == "/generate":
        value += ", image/png;q=0"
    assert problem_of(api.post(path, headers={header: value}), status)["detail"].startswith(f"{header}: ")


def test_score_answers_in_json_or_as_a_heat_map(api: httpx.Client) -> None:
    problem = problem_of(api.post("/score", headers={"Accept": "image/webp"}), 406)
    assert "none of application/json, image/png" in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models"),
        ("GET", "/models/digits"),
        ("GET", "/status"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/jobs/" + "7" * 32),
        ("GET", "/jobs/" + "7" * 32 + "/result"),
        ("GET", "/jobs/" + "7" * 32 + "/events"),
        ("DELETE", "/jobs/" + "7" * 32),
        ("POST", "/verify"),
    ],
)
def test_a_route_that_takes_no_parameters_knows_none(method: str, path: str, api: httpx.Client) -> None:
    refused = api.request(method, f"{path}?x=1&model=digits")
    assert fields_of(refused) == dict.fromkeys(("query x", "query model"), "is unknown; /docs lists the parameters")


def test_every_status_of_a_route_that_takes_no_parameters_is_documented(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert {
        path for path, methods in paths.items() for route in methods.values() if "422" not in route["responses"]
    } == set()


def test_what_is_refused_is_not_queued(api: httpx.Client, stand_in: StandIn) -> None:
    api.post("/generate?class=10")
    assert not stand_in.connection.exists(f"rq:queue:{queue_name(Kind.GENERATE, 'digits')}")
