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
            raise _wrong(f"the file must hold one tensor named {TENSOR!r}, it holds {str(list(header))[:200]}")
        entry, begin = header[TENSOR], LENGTH_BYTES + int.from_bytes(body[:LENGTH_BYTES], "little")
        if not isinstance(entry, dict) or entry.get("dtype") != "F32" or entry.get("shape") != list(shape):
            raise _wrong(f"must be F32 of shape {list(shape)}, are {str(entry)[:200]}")
        size = FLOAT_BYTES * math.prod(shape)
        if entry.get("data_offsets") != [0, size] or len(body) != begin + size:
            raise _wrong(f"must be {size} bytes of data, are {len(body) - begin}")
        digest = metadata.get("model_digest") if isinstance(metadata, dict) else None
        return cls(_checked(body[begin:]), digest if isinstance(digest, str) else None)

    @classmethod
    def from_json(cls, body: bytes, shape: tuple[int, int]) -> "Latents":
        """Those of JSON with a list `latents` of T lists of D numbers, such as `POST /encode` answers.

        Raises:
            InvalidInput: It is no such JSON.
        """
        try:
            given = _Body.model_validate_json(body)
        except ValidationError as error:
            found = error.errors(include_input=False, include_url=False)[0]
            raise _wrong(f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"[:300]) from error
        rows, columns = shape
        lengths = {len(row) for row in given.latents}
        if len(given.latents) != rows or lengths != {columns}:
            raise _wrong(
                f"must have shape {list(shape)}, are {len(given.latents)} lists of {sorted(lengths)[:5]} numbers"
            )
        return cls(_checked(_little(array("f", [value for row in given.latents for value in row]))), given.model_digest)

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

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    latents: list[list[float]]
    model_digest: str | None = None


def _header(body: bytes) -> dict[str, object]:
    length = int.from_bytes(body[:LENGTH_BYTES], "little")
    if len(body) < LENGTH_BYTES or not 0 < length <= min(MAX_HEADER_BYTES, len(body) - LENGTH_BYTES):
        raise _wrong("the body is no safetensors file")
    try:
        header = json.loads(body[LENGTH_BYTES : LENGTH_BYTES + length])
    except (ValueError, RecursionError) as error:
        raise _wrong("the body is no safetensors file: its header is no JSON") from error
    if not isinstance(header, dict):
        raise _wrong("the body is no safetensors file: its header is no object")
    return header


def _checked(content: bytes) -> bytes:
    values = array("f", content)
    if sys.byteorder == "big":
        values.byteswap()
    for index, value in enumerate(values):
        if not abs(value) <= MAX_LATENT:  # NaN is not, either.
            raise _wrong(f"value {index} is {value}, must be finite and at most {MAX_LATENT:g} in size")
    return content


def _little(values: "array[float]") -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _wrong(message: str) -> InvalidInput:
    return InvalidInput.of(TENSOR, "body", message)
