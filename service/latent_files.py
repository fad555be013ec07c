"""Latents as bytes: safetensors files, JSON, and the plain float32 that workers take.

Owns both formats, without NumPy, which the API does without. Knows nothing of requests.
"""

import json
import math
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import BodyTooLarge, InvalidInput
from worker.contract import MAX_LATENT

SAFETENSORS = "application/octet-stream"
TENSOR = "latents"
MAX_HEADER_BYTES = 100_000
LENGTH_BYTES = 8
FLOAT_BYTES = 4
# What an error repeats of a body, at most.
LONGEST_LIST, LONGEST_NAME, LONGEST_VALUE = 5, 40, 60
# What is wrong with JSON, by pydantic's names.
WORDS = {
    "float_type": "must be a number",
    "list_type": "must be a list",
    "string_type": "must be text",
}
# Of a number in JSON, with its comma and what people put around it.
NUMBER_BYTES = 40


def check_length(body: bytes, shape: tuple[int, int]) -> None:
    """Raise BodyTooLarge where a body is longer than any file of latents of this shape: it would be parsed whole."""
    most = MAX_HEADER_BYTES + NUMBER_BYTES * math.prod(shape)
    if len(body) > most:
        raise BodyTooLarge(f"body: latents of shape {list(shape)} take at most {most} bytes, it has {len(body)}")


@dataclass(frozen=True)
class Latents:
    """Latents (T, D) as float32, little-endian; `model_digest` is of the weights they say they are of."""

    content: bytes
    model_digest: str | None = None

    @classmethod
    def from_safetensors(cls, body: bytes, shape: tuple[int, int]) -> "Latents":
        """Those of a safetensors file with one float32 tensor, `latents`, of this shape.

        Raises:
            InvalidInput: It is no such file.
        """
        header = _header(body)
        metadata = header.pop("__metadata__", None)
        if list(header) != [TENSOR]:
            raise _wrong("body", f"must hold one tensor, {TENSOR!r}, and holds {_names(header)}")
        entry, data = header[TENSOR], body[LENGTH_BYTES + int.from_bytes(body[:LENGTH_BYTES], "little") :]
        if not isinstance(entry, dict):
            raise _wrong(TENSOR, "is no object in the header")
        if entry.get("dtype") != "F32" or entry.get("shape") != list(shape):
            found = f"{_told(entry.get('dtype'))} of shape {_told(entry.get('shape'))}"
            raise _wrong(TENSOR, f'must be "F32" of shape {list(shape)}, is {found}')
        size = FLOAT_BYTES * math.prod(shape)
        if entry.get("data_offsets") != [0, size]:
            raise _wrong(TENSOR, f"must have the data_offsets {[0, size]}, has {_told(entry.get('data_offsets'))}")
        if len(data) != size:
            raise _wrong(TENSOR, f"must have {size} bytes of data, has {len(data)}")
        digest = metadata.get("model_digest") if isinstance(metadata, dict) else None
        return cls(_checked(data, shape), digest if isinstance(digest, str) else None)

    @classmethod
    def from_json(cls, body: bytes, shape: tuple[int, int]) -> "Latents":
        """Those of JSON with a list `latents` of T lists of D numbers, such as `POST /encode` answers.

        Raises:
            InvalidInput: It is no such JSON.
        """
        try:
            given = _Body.model_validate_json(body)
        except ValidationError as error:
            raise _refusal(error) from error
        rows, columns = shape
        lengths = {len(row) for row in given.latents}
        if len(given.latents) != rows or lengths != {columns}:
            found = " or ".join(str(each) for each in sorted(lengths)[:LONGEST_LIST]) or "0"
            raise _wrong(TENSOR, f"must have shape {list(shape)}, has {len(given.latents)} lists of {found} numbers")
        content = _little(array("f", [value for row in given.latents for value in row]))
        return cls(_checked(content, shape), given.model_digest)

    def to_json(self, shape: tuple[int, int]) -> list[list[float]]:
        """As T lists of D numbers, each the float32 to the last bit."""
        values, columns = array("f", self.content), shape[1]
        if sys.byteorder == "big":
            values.byteswap()
        return [values[begin : begin + columns].tolist() for begin in range(0, len(values), columns)]

    def to_safetensors(self, shape: tuple[int, int], metadata: Mapping[str, str]) -> bytes:
        """As a safetensors file with words about it."""
        entry = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, len(self.content)]}
        header = json.dumps({"__metadata__": dict(metadata), TENSOR: entry}, ensure_ascii=False).encode()
        header += b" " * (-len(header) % LENGTH_BYTES)
        return len(header).to_bytes(LENGTH_BYTES, "little") + header + self.content


class _Body(BaseModel):
    """What may be said of latents; what else `POST /encode` answers is passed over."""

    # Strict: text and truth are no numbers.
    model_config = ConfigDict(extra="ignore", strict=True, protected_namespaces=())

    latents: list[list[float]]
    model_digest: str | None = None


def _refusal(error: ValidationError) -> InvalidInput:
    """What is wrong with a body of JSON, by the first thing that is."""
    found = error.errors(include_input=False, include_url=False)[0]
    if found["type"] == "json_invalid":
        return _wrong("body", "is no JSON that can be read")
    if not found["loc"]:
        return _wrong("body", f"must be an object with the list {TENSOR!r}")
    name, *places = found["loc"]
    field = f"{name}{''.join(f'[{place}]' for place in places)}"
    return _wrong(field, "is missing" if found["type"] == "missing" else WORDS.get(found["type"], found["msg"]))


def _header(body: bytes) -> dict[str, object]:
    length = int.from_bytes(body[:LENGTH_BYTES], "little")
    if len(body) < LENGTH_BYTES or not 0 < length <= min(MAX_HEADER_BYTES, len(body) - LENGTH_BYTES):
        raise _wrong("body", "is no safetensors file")
    try:
        header = json.loads(body[LENGTH_BYTES : LENGTH_BYTES + length])
    except (ValueError, RecursionError) as error:
        raise _wrong("body", "is no safetensors file: its header is no JSON") from error
    if not isinstance(header, dict):
        raise _wrong("body", "is no safetensors file: its header is no object")
    return header


def _checked(content: bytes, shape: tuple[int, int]) -> bytes:
    values, columns = array("f", content), shape[1]
    if sys.byteorder == "big":
        values.byteswap()
    for index, value in enumerate(values):
        if not abs(value) <= MAX_LATENT:  # NaN is not, either.
            place = f"{TENSOR}[{index // columns}][{index % columns}]"
            raise _wrong(place, f"must be finite and at most {MAX_LATENT:.0f} in size, is {value}")
    return content


def _little(values: "array[float]") -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _names(header: dict[str, object]) -> str:
    shown = ", ".join(repr(name[:LONGEST_NAME]) for name in list(header)[:LONGEST_LIST])
    more = len(header) - LONGEST_LIST
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _told(value: object) -> str:
    """A part of a header as it was written, as far as it is worth repeating."""
    return "nothing" if value is None else json.dumps(value)[:LONGEST_VALUE]


def _wrong(field: str, message: str) -> InvalidInput:
    return InvalidInput.of(field, "body", message)
