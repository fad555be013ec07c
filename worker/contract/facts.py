"""A model as its workers describe it.

Owns its facts, and how a class or a calibration is found by name. Knows nothing of weights.
"""

from typing import Self

from pydantic import Field

from worker.contract.bounds import DEFAULT_CALIBRATION, NO_CLASS
from worker.contract.frozen import Frozen
from worker.contract.requests import CalibrationId

MAX_NAMES = 20  # class names that an error message lists


class CalibrationFacts(Frozen):
    """A calibration as a model's workers describe it.

    Attributes:
        name: Its name.
        digest: SHA-256 of its numbers.
        n: Images that p-values compare with: none is below 1 / (n + 1).
        created_at: When it was made, ISO 8601.
        data: What it was made from.
        thresholds: The anomaly score above which p <= alpha, by alpha, of each view: `none`, `given`, `all`.
        score_quantiles: Anomaly scores of the calibration's images, at every twentieth of them from least to most, of
            each view.
        png_lengths_differ: Whether its workers encode PNGs, whose lengths are a feature, to other lengths than it was
            made with.
    """

    name: str
    digest: str
    n: int
    created_at: str
    data: str
    thresholds: dict[str, dict[str, float | None]]
    score_quantiles: dict[str, tuple[float, ...]]
    png_lengths_differ: bool = False

    @property
    def id(self) -> CalibrationId:
        """What a request names it by."""
        return CalibrationId(name=self.name, digest=self.digest)


class CalibrationsTold(Frozen):
    """The calibrations of the weights of one digest, and the names of those that cannot be used."""

    digest: str
    calibrations: tuple[CalibrationFacts, ...] = ()
    left_out: tuple[str, ...] = ()


class ModelDefaults(Frozen):
    """What a request gets that does not say otherwise."""

    guidance: float
    denoise: bool
    attention_temperature: float


class ModelFacts(Frozen):
    """A loaded model as its workers describe it; what its card says beside is empty or None where not recorded.

    Attributes:
        architecture: [patch-channels-blocks-layers in a block].
        metrics: Figures, by name.
        measured_by: The command that measured each.
        command: The command that made the weights.
        hardware: What they were trained on.
        training_hours: On that hardware.
        intended_use: What it was made for.
        limits: What it must not be used for, and where it fails.
        notes: What else a reader must know to read the facts rightly.
    """

    name: str
    digest: str
    image_size: int
    in_channels: int
    dims: int
    class_names: tuple[str, ...]
    num_classes: int
    noise_std: float
    noise_type: str
    density: str
    architecture: str
    defaults: ModelDefaults
    trained_on: str = ""
    data_licence: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    calibrations: tuple[CalibrationFacts, ...] = ()
    calibrations_left_out: tuple[str, ...] = ()
    patch_grid: tuple[int, int] = (0, 0)
    measured_by: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    hardware: str = ""
    training_hours: float | None = None
    intended_use: str = ""
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Patches in an image, and values in a patch: (T, D)."""
        rows, columns = self.patch_grid
        return rows * columns, self.dims // max(1, rows * columns)

    @property
    def can_denoise(self) -> bool:
        """Whether it has the denoising step, which is learned with Gaussian noise alone."""
        return self.noise_type == "gaussian"

    @property
    def told_calibrations(self) -> CalibrationsTold:
        """What they say of calibrations."""
        return CalibrationsTold(digest=self.digest, calibrations=self.calibrations, left_out=self.calibrations_left_out)

    def with_calibrations(self, told: CalibrationsTold | None) -> Self:
        """The facts with what other workers tell of calibrations, if that is of the same weights."""
        if told is None or told.digest != self.digest:
            return self
        return self.model_copy(update={"calibrations": told.calibrations, "calibrations_left_out": told.left_out})

    def class_name(self, index: int) -> str | None:
        """The name of a class; None for no class."""
        if index == NO_CLASS:
            return None
        return self.class_names[index] if self.class_names else str(index)

    def class_index(self, wanted: str | None) -> int:
        """The class that a name or a number means; -1 for None.

        Raises:
            ValueError: There is no such class; the message names those there are.
        """
        if wanted is None:
            return NO_CLASS
        if wanted in self.class_names:
            return self.class_names.index(wanted)
        if wanted.isascii() and wanted.isdecimal() and wanted == str(index := int(wanted)) and index < self.num_classes:
            return index
        raise ValueError(f"{wanted!r} is no class of {self.name}: {self._classes_in_words()}")

    def calibration(self, wanted: str | None) -> CalibrationFacts | None:
        """The calibration of this name; for None the default, or the only one: never one for another that was left out.

        Raises:
            ValueError: There is none of this name; the message names those there are.
        """
        named = {each.name: each for each in self.calibrations}
        if wanted is None:
            only = len(named) == 1 and not self.calibrations_left_out
            return named.get(DEFAULT_CALIBRATION) or (self.calibrations[0] if only else None)
        if wanted not in named:
            there = f"it has {', '.join(named)}" if named else "it has none"
            raise ValueError(f"{wanted!r} is no calibration of {self.name}: {there}")
        return named[wanted]

    def _classes_in_words(self) -> str:
        if not self.num_classes:
            return "it has no classes"
        named = f" or one of {', '.join(self.class_names[:MAX_NAMES])}" if self.class_names else ""
        more = f" and {len(self.class_names) - MAX_NAMES} more" if len(self.class_names) > MAX_NAMES else ""
        return f"give 0..{self.num_classes - 1}{named}{more}"


def model_name(checkpoint: str) -> str:
    """The name a checkpoint is served under: the last part of its path."""
    return checkpoint.rstrip("/").rsplit("/", 1)[-1].removesuffix(".pth")
