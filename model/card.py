"""What a checkpoint says of itself beside its weights and architecture.

Owns the card: class names, sampling defaults, provenance, figures, what it is for and what not. Knows nothing of
files.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Self

LISTS = ("class_names", "limits", "notes")
FILES = ("curve", "sheet")
TEXTS = ("trained_on", "data_licence", "command", "digest", "hardware", "intended_use", *FILES)
# Lowest and highest, as of a request.
SAMPLING_BOUNDS = {"guidance": (0, 20), "attention_temperature": (0.01, 1)}


@dataclass(frozen=True)
class SamplingDefaults:
    """What a request gets that does not say otherwise.

    Raises:
        ValueError: A value of another type or out of its bounds; the message names it.
    """

    guidance: float = 0.0
    denoise: bool = True
    attention_temperature: float = 1.0
    annealed: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in SAMPLING_BOUNDS.items():
            if not _is_number(value := getattr(self, name)) or not low <= value <= high:
                raise ValueError(f"{name} must be a number in [{low:g}, {high:g}], got {value!r}")
        for name in ("denoise", "annealed"):
            # It may come from JSON, where "no" is a word and 0 a number.
            if type(value := getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false, got {value!r}")


@dataclass(frozen=True)
class Card:
    """The facts of a checkpoint that the network does not need; what is empty or None was not recorded.

    Attributes:
        class_names: One per class, in label order; empty for an unconditional flow.
        sampling: Defaults for generation.
        trained_on: Name of the data.
        data_licence: Licence or source terms of the data.
        command: The command that made the weights.
        metrics: Figures measured on the file as shipped, by name.
        measured_by: The command that measured each figure, by the figure's name.
        hardware: What it was trained on.
        hours: Of training, on that hardware.
        intended_use: What it was made for.
        limits: What it must not be used for, and where it fails.
        notes: What else a reader must know to read the facts rightly.
        curve: File name of the training curve beside the weights.
        sheet: File name of a sheet of samples beside the weights.
        digest: SHA-256 of the weights file, or of its parts one after the other, hexadecimal; filled in by `save`.

    Raises:
        ValueError: A field of another type or out of its bounds; the message names it.
    """

    class_names: tuple[str, ...] = ()
    sampling: SamplingDefaults = field(default_factory=SamplingDefaults)
    trained_on: str = ""
    data_licence: str = ""
    command: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    digest: str = ""
    measured_by: dict[str, str] = field(default_factory=dict)
    hardware: str = ""
    hours: float | None = None
    intended_use: str = ""
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    curve: str = ""
    sheet: str = ""

    def __post_init__(self) -> None:
        for name in TEXTS:
            if not isinstance(value := getattr(self, name), str):
                raise ValueError(f"{name} must be a string, got {value!r}")
        if not _holds(self.metrics, _is_number):
            raise ValueError(f"metrics must be finite numbers by name, got {self.metrics!r}")
        if not _holds(self.measured_by, lambda command: isinstance(command, str)):
            raise ValueError(f"measured_by must be strings by name, got {self.measured_by!r}")
        if self.hours is not None and not (_is_number(self.hours) and self.hours >= 0):
            raise ValueError(f"hours must be finite and at least 0, got {self.hours!r}")
        for name in FILES:
            # It stands beside the weights: a path could lead a reader of the page anywhere.
            if "/" in (file := getattr(self, name)) or "\\" in file or file.startswith("."):
                raise ValueError(f"{name} must be the name of a file beside the weights, got {file!r}")

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self) | {name: list(getattr(self, name)) for name in LISTS}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: A field is unknown, of another type or out of its bounds.
        """
        try:
            sampling = SamplingDefaults(**fields.get("sampling", {}))
            texts = {name: _texts(name, fields[name]) for name in LISTS if name in fields}
            return cls(**fields | texts | {"sampling": sampling})
        except TypeError as error:
            raise ValueError(f"not a card: {error}") from error


def _is_number(value: object) -> bool:
    """Whether it is a finite number; in Python, true is one too."""
    return isinstance(value, int | float) and type(value) is not bool and abs(value) <= sys.float_info.max


def _holds(value: object, is_right: Callable[[Any], bool]) -> bool:
    """Whether it is a dict from strings to what is right."""
    return isinstance(value, dict) and all(isinstance(name, str) and is_right(each) for name, each in value.items())


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name} must be a list of strings, got {value!r}")
    return tuple(value)
