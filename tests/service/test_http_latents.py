"""Owns the laws of the way there and back over HTTP: what is asked, what is queued for it, and what is answered."""

from base64 import b64decode
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from redis import Redis

from service.latent_files import Latents
from tests.service.image_files import encoded, noise, plain
from tests.service.problem_answers import fields_of, problem_of
from tests.service.stand_in import FACTS, Lost, StandIn, latents, picture, queued, sheet
from worker.contract import (
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    Kind,
    ScoreInput,
    input_key,
)
from worker.errors import Overflow

Ask = Callable[..., httpx.Response]
PNG_TYPE, JSON_TYPE = {"Content-Type": "image/png"}, {"Content-Type": "application/json"}
FILE = "application/octet-stream"
SHAPE = FACTS.latent_shape
PIXELS = bytes(784)
GREY = encoded(plain("L", (28, 28), 0), "PNG")
ZEROS = Latents(bytes(4 * 784))
BODIES: dict[str, dict[str, Any]] = {
    "/encode": {"content": GREY, "headers": PNG_TYPE},
    "/decode": {"content": ZEROS.to_safetensors(SHAPE, {}), "headers": {"Content-Type": FILE}},
    "/interpolate": {"files": [("image", ("a.png", GREY, "image/png")), ("image", ("b.png", GREY, "image/png"))]},
}


def test_an_image_is_answered_with_its_latents_and_their_round_trip(ask: Ask) -> None:
    answer = ask("/encode?class=seven", **BODIES["/encode"])
    assert answer.json() == {
        "job_id": answer.headers["X-Job-Id"],
        "model": "digits",
        "model_digest": FACTS.digest,
        "class": 7,
        "class_name": "seven",
        "resized_from": None,
        "converted_from": None,
        "round_trip": {"max_abs_error": 0.5, "rms_error": 0.25, "changed_values": 784},
        "shape": [49, 16],
        "latents": [[0.0] * 16] * 49,
    }


def test_who_accepts_a_file_gets_safetensors(ask: Ask) -> None:
    body = {**BODIES["/encode"], "headers": PNG_TYPE | {"Accept": FILE}}
    answer = ask("/encode", **body)
    assert answer.headers["Content-Type"] == FILE
    assert Latents.from_safetensors(answer.content, SHAPE) == Latents(latents(PIXELS), FACTS.digest)


def test_an_image_is_fitted_to_the_model_and_that_is_said(ask: Ask, redis: Redis) -> None:
    answer = ask("/encode", content=encoded(noise((30, 20)), "PNG"), headers=PNG_TYPE)
    assert (answer.json()["resized_from"], answer.json()["converted_from"]) == ([30, 20], "RGB")
    request = queued(answer, redis)
    assert isinstance(request, EncodeRequest)
    assert request.image.resized_from == (30, 20)


def test_what_is_done_to_each_of_two_images_is_said(ask: Ask) -> None:
    files = [
        ("image", ("a.png", GREY, "image/png")),
        ("image", ("b.png", encoded(noise((30, 20)), "PNG"), "image/png")),
    ]
    body = ask("/interpolate", files=files, headers={"Accept": "application/json"}).json()
    assert (body["resized_from"], body["converted_from"]) == ([None, [30, 20]], [None, "RGB"])


def test_latents_are_decoded_as_they_are_by_default(ask: Ask, redis: Redis) -> None:
    answer = ask("/decode?class=3", **BODIES["/decode"])
    assert (answer.headers["Content-Type"], answer.content) == ("image/png", picture(0))
    request = queued(answer, redis)
    assert isinstance(request, DecodeRequest)
    assert (request.class_index, request.guidance, request.denoise) == (3, 0.0, False)


def test_an_encoding_can_be_sent_back_as_it_was_answered(ask: Ask, redis: Redis) -> None:
    there = ask("/encode", **BODIES["/encode"])
    back = ask(
        "/decode?guidance=2&denoise=true", content=there.content, headers=JSON_TYPE | {"Accept": "application/json"}
    )
    body = back.json()
    assert b64decode(body["images"][0]["png_base64"]) == picture(0)
    assert (body["guidance"], body["denoise"]) == (2.0, True)
    assert redis.get(input_key(body["job_id"])) is None  # let go at the end


def test_latents_of_other_weights_are_refused(api: httpx.Client) -> None:
    content = ZEROS.to_safetensors(SHAPE, {"model_digest": "d2"})
    refused = api.post("/decode", content=content, headers={"Content-Type": FILE})
    assert "are of weights 'd2'" in fields_of(refused)["body latents"]


def test_latents_of_another_shape_are_refused_with_the_right_one(api: httpx.Client) -> None:
    refused = api.post("/decode", json={"latents": [[0.0]]})
    assert "must have shape [49, 16]" in fields_of(refused)["body latents"]


def test_a_body_of_another_type_is_told_those_that_are_read(api: httpx.Client) -> None:
    problem = problem_of(api.post("/decode", content=GREY, headers=PNG_TYPE), 415)
    assert FILE in problem["detail"]


@pytest.mark.parametrize(
    ("path", "media_type", "read"),
    [
        ("/encode", "text/plain", "image/png, image/jpeg, image/webp, image/bmp or multipart/form-data"),
        ("/interpolate", "image/png", "multipart/form-data"),
        ("/verify", "image/jpeg", "image/png or multipart/form-data"),
    ],
)
def test_a_body_of_images_of_another_type_is_told_those_that_are_read(
    path: str, media_type: str, read: str, api: httpx.Client
) -> None:
    problem = problem_of(api.post(path, content=GREY, headers={"Content-Type": media_type}), 415)
    assert problem["detail"] == f"Content-Type: {media_type!r} is not read; send {read}"


def test_what_lies_between_two_images_is_a_strip_or_its_pictures(ask: Ask, redis: Redis) -> None:
    answer = ask("/interpolate?n=5", **BODIES["/interpolate"])
    assert answer.content == sheet(5)
    request = queued(answer, redis)
    assert isinstance(request, InterpolateRequest)
    assert (request.n, len(request.ends)) == (5, 2)
    body = ask("/interpolate?n=5&class=1", **BODIES["/interpolate"], headers={"Accept": "application/json"}).json()
    assert [each["at"] for each in body["images"]] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [b64decode(each["png_base64"]) for each in body["images"]] == [picture(index) for index in range(5)]


FAR = "under digits, class 3: {} too far from what the model knows"


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("/encode", "image", f"the way to its latents and back is beyond float32 {FAR.format('it is')}"),
        ("/decode", "latents", f"the way to their picture overflows float32 {FAR.format('they are')}"),
        ("/interpolate", "image[1]", f"the way to its latents and back is beyond float32 {FAR.format('it is')}"),
    ],
)
def test_what_overflows_is_refused_by_its_field_now_and_later(
    path: str, field: str, words: str, api: httpx.Client, stand_in: StandIn
) -> None:
    failing = StandIn(stand_in.connection, failure=Overflow(field))
    answer = failing.work_while(Kind.GENERATE, lambda: api.post(f"{path}?class=3", **BODIES[path]))
    job = f"/jobs/{answer.headers['X-Job-Id']}"
    later = api.get(f"{job}/result")
    assert fields_of(answer) == fields_of(later) == {f"body {field}": words}
    assert (api.get(job).json()["state"], api.get(job).json()["failure"]) == ("failed", f"{field}: {words}")


def test_what_overflows_between_two_images_is_told_by_its_place_and_not_laid_on_them(
    api: httpx.Client, stand_in: StandIn
) -> None:
    failing = StandIn(stand_in.connection, failure=Overflow("n", rows=(1, 2)))
    answer = failing.work_while(Kind.GENERATE, lambda: api.post("/interpolate?n=5", **BODIES["/interpolate"]))
    words = "both images come back, and float32 overflows between them under digits, without a class, at 0.25, 0.5"
    assert fields_of(answer) == {"query n": f"{words}; try another number"}


def test_an_image_that_does_not_come_back_has_latents_and_no_round_trip(api: httpx.Client, stand_in: StandIn) -> None:
    lost = Lost(stand_in.connection)
    body = lost.work_while(Kind.GENERATE, lambda: api.post("/encode", **BODIES["/encode"])).json()
    assert body["round_trip"] == {"max_abs_error": None, "rms_error": None, "changed_values": None}
    assert body["latents"] == [[0.0] * 16] * 49


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_images_than_two_has_nothing_between(count: int, api: httpx.Client) -> None:
    files = [("image", ("a.png", GREY, "image/png"))] * count
    assert fields_of(api.post("/interpolate", files=files)) == {
        "body image": f"takes 2 files, got {count} file{'s' * (count > 1)}"
    }


@pytest.mark.parametrize("path", BODIES)
def test_the_same_is_one_job(path: str, api: httpx.Client) -> None:
    options = BODIES[path]
    at_once = {"headers": options.get("headers", {}) | {"Prefer": "respond-async"}}
    ids = [api.post(path, **(options | at_once)).json()["job_id"] for _ in range(2)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("path", BODIES)
def test_another_class_is_another_job(path: str, api: httpx.Client) -> None:
    options = BODIES[path]
    at_once = {"headers": options.get("headers", {}) | {"Prefer": "respond-async"}}
    ids = {api.post(f"{path}?class={index}", **(options | at_once)).json()["job_id"] for index in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize("path", BODIES)
def test_who_has_the_answer_is_told_so(path: str, ask: Ask, api: httpx.Client) -> None:
    first = ask(path, **BODIES[path])
    headers = BODIES[path].get("headers", {}) | {"If-None-Match": first.headers["ETag"]}
    assert api.post(path, **(BODIES[path] | {"headers": headers})).status_code == 304


@pytest.mark.parametrize("path", BODIES)
def test_the_result_is_there_later_as_the_post_gave_it(path: str, ask: Ask, api: httpx.Client) -> None:
    first = ask(path, **BODIES[path])
    again = api.get(f"/jobs/{first.headers['X-Job-Id']}/result")
    assert (again.content, again.headers["ETag"]) == (first.content, first.headers["ETag"])


@pytest.mark.parametrize("path", BODIES)
def test_an_unknown_class_is_named(path: str, api: httpx.Client) -> None:
    assert "is no class of digits" in fields_of(api.post(f"{path}?class=cat", **BODIES[path]))["query class"]


def test_an_image_of_the_way_is_said_in_the_job(api: httpx.Client) -> None:
    headers = PNG_TYPE | {"Prefer": "respond-async"}
    body = api.post("/encode", content=GREY, headers=headers).json()
    assert ScoreInput.model_validate(body["request"]["image"]).resized_from is None
