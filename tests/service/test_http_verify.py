"""Owns the laws of `/verify` over HTTP: which claims are read, and what is found of them."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL.PngImagePlugin import PngInfo
from redis import Redis

from tests.service.image_files import encoded, plain
from tests.service.problem_answers import fields_of, problem_of
from tests.service.stand_in import FACTS, Lost, StandIn, queued
from worker.contract import Kind, VerifyRequest

Ask = Callable[..., httpx.Response]
PNG_TYPE = {"Content-Type": "image/png"}
GREY = encoded(plain("L", (28, 28), 0), "PNG")
CLAIM: dict[str, Any] = {
    "model": "digits", "model_digest": FACTS.digest, "class": 7, "class_name": "seven", "guidance": 2.0, "n": 1,
    "seed": 42, "denoise": True, "attention_temperature": 1.0,
}  # fmt: skip


def claiming(grey: int = 0, side: int = 28, **claim: Any) -> bytes:
    """A PNG of one grey that says of itself what a picture of ours does, with changes."""
    return saying(json.dumps(CLAIM | claim), grey, side)


def _claim() -> PngInfo:
    text = PngInfo()
    text.add_itxt("tarflow", json.dumps(CLAIM))
    return text


def saying(words: str, grey: int = 0, side: int = 28) -> bytes:
    """A PNG of one grey with these words in our text chunk."""
    text = PngInfo()
    text.add_itxt("tarflow", words)
    return encoded(plain("L", (side, side), grey), "PNG", pnginfo=text)


def test_a_picture_that_is_what_it_claims_is_verified(ask: Ask, redis: Redis) -> None:
    answer = ask("/verify", content=claiming(), headers=PNG_TYPE)
    body = answer.json()
    assert (body["verified"], body["reason"], body["max_difference"]) == (True, None, 0)
    request = queued(answer, redis)
    assert isinstance(request, VerifyRequest)
    assert (request.claim.class_index, request.claim.seed, request.claim.guidance) == (7, 42, 2.0)


def test_a_picture_that_is_not_is_told_by_how_much(ask: Ask) -> None:
    body = ask("/verify", content=claiming(grey=9), headers=PNG_TYPE).json()
    assert body["verified"] is False
    assert body["reason"] == "784 of its values differ, by up to 9 of 255"


def test_a_picture_of_the_weights_that_recomputed_it_is_told_so(ask: Ask) -> None:
    assert ask("/verify", content=claiming(), headers=PNG_TYPE).json()["same_weights"] is True


@pytest.mark.parametrize("grey", [0, 9])
def test_a_picture_that_claims_other_weights_is_not_verified_whatever_its_pixels(grey: int, ask: Ask) -> None:
    body = ask("/verify", content=claiming(grey=grey, model_digest="e2" * 32), headers=PNG_TYPE).json()
    assert (body["verified"], body["same_weights"], body["max_difference"]) == (False, False, grey)
    assert body["reason"].startswith("it says that it was made with other weights (e2e2e2e2e2e2…)")


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"class_name": "cat"}, "it calls its class 'cat', and class 7 of digits is 'seven'"),
        ({"class_name": None}, "it calls its class nothing, and class 7 of digits is 'seven'"),
        ({"class": None}, "it calls its class 'seven', and has none"),
    ],
)
def test_a_picture_that_contradicts_itself_is_not_verified(claim: dict[str, Any], reason: str, ask: Ask) -> None:
    body = ask("/verify", content=claiming(**claim), headers=PNG_TYPE).json()
    assert (body["verified"], body["reason"], body["max_difference"]) == (False, reason, 0)


def test_a_picture_whose_request_gives_none_is_not_verified(api: httpx.Client, stand_in: StandIn) -> None:
    content = claiming(guidance=20.0)
    lost = Lost(stand_in.connection)
    body = lost.work_while(Kind.GENERATE, lambda: api.post("/verify", content=content, headers=PNG_TYPE)).json()
    assert (body["verified"], body["max_difference"]) == (False, None)
    assert body["reason"] == "its request gives no picture: it overflows float32 at guidance 20"


def test_a_picture_without_a_class_has_no_name_for_it(ask: Ask) -> None:
    claim: dict[str, Any] = {"class": None, "class_name": None}
    body = ask("/verify", content=claiming(**claim), headers=PNG_TYPE).json()
    assert (body["verified"], body["claim"]["class_name"]) == (True, None)


def test_a_picture_in_other_colours_is_told_so(ask: Ask) -> None:
    text = PngInfo()
    text.add_itxt("tarflow", json.dumps(CLAIM))
    content = encoded(plain("RGB", (28, 28), (0, 0, 0)), "PNG", pnginfo=text)
    body = ask("/verify", content=content, headers=PNG_TYPE).json()
    assert body["reason"] == "it has 28 x 28 pixels in RGB, its request gives 28 x 28 pixels in grey"


def test_a_picture_that_claims_two_things_is_refused(api: httpx.Client) -> None:
    text = PngInfo()
    text.add_text("tarflow", json.dumps(CLAIM | {"seed": 1}))
    text.add_itxt("tarflow", json.dumps(CLAIM))
    refused = api.post("/verify", content=encoded(plain("L", (28, 28), 0), "PNG", pnginfo=text), headers=PNG_TYPE)
    assert fields_of(refused) == {"body body": "has more than one text chunk 'tarflow'"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GREY, "has no text chunk 'tarflow': it says nothing of how it was made"),
        (encoded(plain("L", (28, 28), 0), "BMP"), "is no PNG image"),
        (GREY[:50], "is a damaged PNG image"),
        (saying("{"), "has a text chunk 'tarflow' that is no JSON"),
        (saying("[7]"), "has a text chunk 'tarflow' that is no object"),
        (saying("{}"), "claims what no request could: model: is missing"),
        (saying('{"seed": 1, "seed": 2}'), "has a text chunk 'tarflow' that says 'seed' twice"),
        (claiming(guidance=99), "claims what no request could: guidance: must be at most 20"),
        (claiming(colour="red"), "claims what no request could: 'colour' is unknown"),
        (claiming(class_index=7), "claims what no request could: 'class_index' is unknown"),
        (claiming(request=7), "claims what no request could: 'request' is unknown"),
        (claiming(**{"\ud800": 7}), "claims what no request could: '\\ud800' is unknown"),
        (claiming(class_name="\ud800"), "claims what no request could: class_name: must be text"),
        (
            claiming(class_name="x" * 1001),
            "claims what no request could: class_name: must have at most 1000 characters",
        ),
        (claiming(model_digest="d1"), "claims what no request could: model_digest: must be 64 hexadecimal digits"),
        (claiming(model_digest="xy" * 32), "claims what no request could: model_digest: must be 64 hexadecimal digits"),
        (claiming(n="many"), "claims what no request could: n: must be a whole number"),
        (claiming(n=1.0), "claims what no request could: n: must be a whole number"),
        (claiming(seed="5"), "claims what no request could: seed: must be a whole number"),
        (claiming(denoise=1), "claims what no request could: denoise: must be true or false"),
        (claiming(guidance=True), "claims what no request could: guidance: must be a number"),
        (claiming(**{"class": True}), "claims what no request could: class: must be a whole number"),
        (claiming(**{"class": -1}), "claims what no request could: class: must be at least 0"),
        (claiming(**{"class": 10}), "claims class 10; digits has no such class"),
    ],
)
def test_what_claims_nothing_that_could_be_recomputed_is_refused(
    content: bytes, reason: str, api: httpx.Client
) -> None:
    assert fields_of(api.post("/verify", content=content, headers=PNG_TYPE)) == {"body body": reason}


def moving() -> bytes:
    """A PNG that is what it claims in its first frame, and shows another."""
    frames = {"save_all": True, "append_images": [plain("L", (28, 28), 255)]}
    return encoded(plain("L", (28, 28), 0), "PNG", pnginfo=_claim(), **frames)


@pytest.mark.parametrize(
    "content",
    [
        moving(),
        encoded(plain("L", (28, 28), 0), "PNG", pnginfo=_claim(), transparency=0),
        encoded(plain("L", (28, 28), 0), "PNG", pnginfo=_claim(), icc_profile=b"x"),
        claiming() + bytes(10_000),
    ],
    ids=["two frames", "transparent", "other colours", "bytes after it"],
)
def test_a_picture_that_may_show_something_else_is_refused(content: bytes, api: httpx.Client) -> None:
    refused = fields_of(api.post("/verify", content=content, headers=PNG_TYPE))
    assert refused["body body"].startswith("is not written as ours are: ")


@pytest.mark.parametrize("told", ["latents_sha256", "between"])
def test_a_picture_that_was_made_from_what_it_does_not_hold_says_so(told: str, api: httpx.Client) -> None:
    words = {name: value for name, value in CLAIM.items() if name != "seed"} | {told: "7"}
    refused = fields_of(api.post("/verify", content=saying(json.dumps(words)), headers=PNG_TYPE))
    assert refused["body body"].startswith("was made from latents or images")


@pytest.mark.parametrize("missing", sorted(CLAIM.keys()))
def test_a_claim_says_every_word(missing: str, api: httpx.Client) -> None:
    told = {name: value for name, value in CLAIM.items() if name != missing}
    refused = api.post("/verify", content=saying(json.dumps(told)), headers=PNG_TYPE)
    assert fields_of(refused) == {"body body": f"claims what no request could: {missing}: is missing"}


def test_a_file_of_a_form_is_refused_by_its_place(api: httpx.Client) -> None:
    refused = api.post("/verify", files={"image": ("a.png", claiming(**{"class": 10}), "image/png")})
    assert set(fields_of(refused)) == {"body image[0]"}


def test_a_picture_may_be_as_large_as_the_sheet_of_sixteen_and_no_larger(ask: Ask, api: httpx.Client) -> None:
    sheet = 4 * (28 + 2) + 2
    assert ask("/verify", content=claiming(side=sheet), headers=PNG_TYPE).status_code == 200
    refused = api.post("/verify", content=claiming(side=sheet + 1), headers=PNG_TYPE)
    assert f"no picture of digits is wider than {sheet}" in problem_of(refused, 422)["detail"]


def test_a_picture_of_a_model_that_is_not_offered_is_not_found(api: httpx.Client) -> None:
    refused = api.post("/verify", content=claiming(model="afhq"), headers=PNG_TYPE)
    assert problem_of(refused, 404)["type"] == "urn:tarflow:problem:unknown-model"
