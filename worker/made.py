"""What a job made, on its way from the handler to the commit.

Owns the shape of it. Knows nothing of where it will be kept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis.client import Pipeline

Tell = Callable[[Pipeline], None]
"""Adds to a pipeline what is to be told."""


def tell_nothing(_pipeline: Pipeline) -> None:
    """Tell nothing."""


@dataclass(frozen=True)
class Made:
    """What a job made.

    Attributes:
        result: What is answered, of the types of JSON.
        files: What lies beside it, by their fields.
        also: What is told in the transaction in which the job ends.
    """

    result: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
    also: Tell = tell_nothing


Outcome = Made | Exception
"""What came of a job: what it made, or what went wrong with it alone."""
