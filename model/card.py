"""What a checkpoint says of itself beside its weights and architecture.

Owns the card: class names, sampling defaults, provenance, figures, what it is for and what not. Knows nothing of
files.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

TEXTS = ("class_names", "limits", "notes")
FILES = ("curve", "sheet")


@dataclass(frozen=True)
class SamplingDefaults:
    """What a request gets that does not say otherwise."""

    guidance: float = 0.0
    denoise: bool = True
    attention_temperature: float = 1.0
    annealed: bool = False


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
        if self.hours is not None and not (0 <= self.hours < math.inf):
            raise ValueError(f"hours must be finite and at least 0, got {self.hours}")
        for name in FILES:
            # It stands beside the weights: a path could lead a reader of the page anywhere.
            if "/" in (file := getattr(self, name)) or "\\" in file or file.startswith("."):
                raise ValueError(f"{name} must be the name of a file beside the weights, got {file!r}")

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self) | {name: list(getattr(self, name)) for name in TEXTS}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: A field is unknown, of another type or out of its bounds.
        """
        try:
            sampling = SamplingDefaults(**fields.get("sampling", {}))
            texts = {name: _texts(name, fields[name]) for name in TEXTS if name in fields}
            return cls(**fields | texts | {"sampling": sampling})
        except TypeError as error:
            raise ValueError(f"not a card: {error}") from error


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{name} must be a list of strings, got {value!r}")
    return tuple(value)
