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


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"latents!",
        b"\xff" * 8,
        file()[:-1],
        file() + b"x",
        file(name="noise"),
        file(VALUES.double()),
        file(VALUES.T),
        struct.pack("<Q", 9) + b"[" * 9,
        struct.pack("<Q", 50_000) + b"[" * 50_000,
        with_header([]),
        with_header({"latents": 7}),
        with_header({"latents": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 10**9]}}),
        with_header({"latents": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}}, b""),
    ],
)
def test_what_is_no_file_of_latents_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^latents: "):
        Latents.from_safetensors(body, SHAPE)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"latents": 7}', b'{"latents": []}', b'{"latents": [[1, 2], [3, 4], [5]]}',
     b'{"latents": [[1, 2], [3, 4]]}', b'{"latents": [[1, 2], [3, 4], [5, "six"]]}'],
)  # fmt: skip
def test_what_is_no_json_of_latents_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^latents: "):
        Latents.from_json(body, SHAPE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2 * MAX_LATENT])
def test_a_value_that_is_none_is_named_by_its_place(value: float) -> None:
    values = VALUES.clone()
    values[1, 1] = value
    for read, body in ((Latents.from_safetensors, file(values)), (Latents.from_json, as_json(values))):
        with pytest.raises(InvalidInput, match=r"^latents: value 3 is "):
            read(body, SHAPE)


def as_json(values: torch.Tensor) -> bytes:
    """These latents, NaN and all, as Python writes them."""
    return json.dumps({"latents": values.tolist()}).encode()


def test_a_body_may_be_as_long_as_latents_can_be_written_and_no_longer() -> None:
    longest = MAX_HEADER_BYTES + NUMBER_BYTES * 6
    check_length(bytes(longest), SHAPE)
    with pytest.raises(BodyTooLarge, match=f"at most {longest} bytes, it has {longest + 1}"):
        check_length(bytes(longest + 1), SHAPE)
