"""How an answer names a class.

Knows nothing of answers' other parts.
"""

from typing import Any, Literal

from worker.contract.bounds import NO_CLASS
from worker.contract.facts import ModelFacts


def class_fields(index: int | Literal["all"], facts: ModelFacts | None) -> dict[str, Any]:
    """The fields `class` and `class_name`."""
    if index == "all":
        return {"class": "all", "class_name": None}
    return {
        "class": None if index == NO_CLASS else index,
        "class_name": facts.class_name(index) if facts else None,
    }
