"""What a checkpoint says of itself beside its weights and architecture.

Owns the card: class names, sampling defaults, provenance, figures. Knows nothing of files.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class SamplingDefaults:
    """What a request gets that does not say otherwise."""

    guidance: float = 0.0
    denoise: bool = True
    attention_temperature: float = 1.0
    annealed: bool = False


@dataclass(frozen=True)
class Card:
    """The facts of a checkpoint that the network does not need.

    Attributes:
        class_names: One per class, in label order; empty for an unconditional flow.
        sampling: Defaults for generation.
        trained_on: Name of the data.
        data_licence: Licence or source terms of the data.
        command: The command that made the weights.
        metrics: Figures measured on the file as shipped, by name.
        digest: SHA-256 of the weights file, or of its parts one after the other, hexadecimal; filled in by `save`.
    """

    class_names: tuple[str, ...] = ()
    sampling: SamplingDefaults = field(default_factory=SamplingDefaults)
    trained_on: str = ""
    data_licence: str = ""
    command: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self) | {"class_names": list(self.class_names)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: A field is unknown.
        """
        try:
            sampling = SamplingDefaults(**fields.get("sampling", {}))
            names = fields.get("class_names", [])
            if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
                raise TypeError(f"class_names must be a list of strings, got {names!r}")
            return cls(**fields | {"class_names": tuple(names), "sampling": sampling})
        except TypeError as error:
            raise ValueError(f"not a card: {error}") from error
