"""How a number is written that comes as text: in ASCII, as it would be in JSON.

Owns what is refused that Python would read: other digits, underscores, spaces around it, `5.0` for a whole one.
Knows nothing of bounds.
"""

import re
from typing import Any

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

WHOLE_NUMBER = re.compile("-?[0-9]+")
# What may be in one: `nan` and `inf` are left to whoever asks for a finite one.
DECIMAL = re.compile("[0-9A-Za-z.+-]*")


def decimal(text: str) -> float:
    """The number that a text is; raises ValueError."""
    if not DECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _whole(value: Any) -> Any:
    if isinstance(value, str) and not WHOLE_NUMBER.fullmatch(value):
        raise PydanticKnownError("int_parsing")
    return value


def _decimal(value: Any) -> Any:
    if isinstance(value, str) and not DECIMAL.fullmatch(value):
        raise PydanticKnownError("float_parsing")
    return value


# For fields of numbers that a URL gives, behind their bounds.
AS_WHOLE, AS_DECIMAL = BeforeValidator(_whole), BeforeValidator(_decimal)
