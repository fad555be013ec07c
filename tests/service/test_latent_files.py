"""Owns the laws of latents as bytes: both formats say the same to the last bit, and what is no latents is named."""

import json
import struct
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from service.errors import BodyTooLarge, InvalidInput
from service.latent_files import MAX_HEADER_BYTES, NUMBER_BYTES, Latents, check_length
from worker.contract import MAX_LATENT

SHAPE = (3, 2)
VALUES = torch.tensor([[0.1, -2.5], [1e-30, 3.0], [-0.0, 1 / 3]])
CONTENT = VALUES.numpy().astype("<f4").tobytes()


def file(values: torch.Tensor = VALUES, name: str = "latents", **metadata: str) -> bytes:
    """A file as the safetensors package writes it."""
    return save({name: values.contiguous()}, metadata=metadata or None)


def with_header(header: Any, data: bytes = CONTENT) -> bytes:
    """A file with this header, whatever it says."""
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + data


def test_a_file_of_the_package_is_read() -> None:
    assert Latents.from_safetensors(file(model_digest="d1"), SHAPE) == Latents(CONTENT, "d1")


def test_the_package_reads_our_files() -> None:
    written = Latents(CONTENT).to_safetensors(SHAPE, {"model": "dígits"})
    assert torch.equal(load(written)["latents"], VALUES)


def test_json_says_the_same_to_the_last_bit() -> None:
    body = json.dumps({"latents": Latents(CONTENT).to_json(SHAPE)}).encode()
    assert Latents.from_json(body, SHAPE).content == CONTENT


def test_what_else_an_encoding_answers_is_passed_over() -> None:
    body = json.dumps({"latents": VALUES.tolist(), "round_trip": {}, "model_digest": "d1"}).encode()
    assert Latents.from_json(body, SHAPE).model_digest == "d1"


HEADER = {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}
MANY = {f"t{index}": HEADER for index in range(8)}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body: is no safetensors file"),
        (b"latents!", "body: is no safetensors file"),
        (b"\xff" * 8, "body: is no safetensors file"),
        (struct.pack("<Q", 9) + b"[" * 9, "body: is no safetensors file: its header is no JSON"),
        (struct.pack("<Q", 50_000) + b"[" * 50_000, "body: is no safetensors file: its header is no JSON"),
        (with_header([]), "body: is no safetensors file: its header is no object"),
        (file(name="noise"), "body: must hold one tensor, 'latents', and holds 'noise'"),
        (with_header({}), "body: must hold one tensor, 'latents', and holds none"),
        (with_header(MANY), "body: must hold one tensor, 'latents', and holds 't0', 't1', 't2', 't3', 't4' and 3 more"),
        (with_header({"latents": 7}), "latents: is no object in the header"),
        (file(VALUES.double()), 'latents: must be "F32" of shape [3, 2], is "F64" of shape [3, 2]'),
        (file(VALUES.T), 'latents: must be "F32" of shape [3, 2], is "F32" of shape [2, 3]'),
        (with_header({"latents": {}}), 'latents: must be "F32" of shape [3, 2], is nothing of shape nothing'),
        (
            with_header({"latents": HEADER | {"data_offsets": [0, 10**9]}}),
            "latents: must have the data_offsets [0, 24], has [0, 1000000000]",
        ),
        (with_header({"latents": HEADER}, b""), "latents: must have 24 bytes of data, has 0"),
        (file()[:-1], "latents: must have 24 bytes of data, has 23"),
        (file() + b"x", "latents: must have 24 bytes of data, has 25"),
    ],
)
def test_what_is_no_file_of_latents_is_refused_by_its_field_and_limit(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Latents.from_safetensors(body, SHAPE)
    assert refused.value.detail == reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "body: is no JSON that can be read"),
        (b"{", "body: is no JSON that can be read"),
        (b"[]", "body: must be an object with the list 'latents'"),
        (b"{}", "latents: is missing"),
        (b'{"latents": 7}', "latents: must be a list"),
        (b'{"latents": [7]}', "latents[0]: must be a list"),
        (b'{"latents": []}', "latents: must have shape [3, 2], has 0 lists of 0 numbers"),
        (b'{"latents": [[1, 2], [3, 4], [5]]}', "latents: must have shape [3, 2], has 3 lists of 1 or 2 numbers"),
        (b'{"latents": [[1, 2], [3, 4]]}', "latents: must have shape [3, 2], has 2 lists of 2 numbers"),
        (b'{"latents": [[1, 2], [3, 4], [5, "6"]]}', "latents[2][1]: must be a number"),
        (b'{"latents": [[1, 2], [3, true], [5, 6]]}', "latents[1][1]: must be a number"),
        (b'{"latents": [[1, 2]], "model_digest": 7}', "model_digest: must be text"),
    ],
)
def test_what_is_no_json_of_latents_is_refused_by_its_field_and_limit(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Latents.from_json(body, SHAPE)
    assert refused.value.detail == reason


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2 * MAX_LATENT])
def test_a_value_that_is_none_is_named_by_its_place(value: float) -> None:
    values = VALUES.clone()
    values[1, 1] = value
    for read, body in ((Latents.from_safetensors, file(values)), (Latents.from_json, as_json(values))):
        with pytest.raises(InvalidInput) as refused:
            read(body, SHAPE)
        assert refused.value.detail == f"latents[1][1]: must be finite and at most 1000000 in size, is {value}"


def as_json(values: torch.Tensor) -> bytes:
    """These latents, NaN and all, as Python writes them."""
    return json.dumps({"latents": values.tolist()}).encode()


def test_a_body_may_be_as_long_as_latents_can_be_written_and_no_longer() -> None:
    longest = MAX_HEADER_BYTES + NUMBER_BYTES * 6
    check_length(bytes(longest), SHAPE)
    with pytest.raises(BodyTooLarge, match=f"at most {longest} bytes, it has {longest + 1}"):
        check_length(bytes(longest + 1), SHAPE)
