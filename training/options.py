"""What a training run is told.

Owns the options, their bounds and what may change on resuming. Knows nothing of data or steps.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from model import TarFlowConfig
from model.config import NoiseType

Precision = Literal["float32", "bf16"]

# What a resumed run may do differently without becoming another run. With other epochs the
# learning rate follows the new schedule from there on.
CHANGEABLE = frozenset(
    {"data", "out", "epochs", "device", "compile", "resume", "save_every", "sheet_every", "stop_after", "command"}
)


@dataclass(frozen=True)
class TrainOptions:
    """Options of one training run; sizes in images and steps, learning rates per step.

    Raises:
        ValueError: A value out of its bounds; the message names the option and the bound.
    """

    data: Path
    out: Path
    image_size: int
    patch_size: int
    channels: int
    blocks: int
    layers_per_block: int
    head_dim: int = 64
    in_channels: int = 3
    unconditional: bool = False
    noise_type: NoiseType = "gaussian"
    noise_std: float = 0.05
    epochs: float = 100.0
    batch_size: int = 128
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_epochs: float = 1.0
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    label_drop: float = 0.1
    seed: int = 0
    device: str = "auto"
    precision: Precision = "float32"
    compile: bool = False
    resume: bool = False
    init: str = ""
    save_every: int = 500
    sheet_every: int = 2000
    stop_after: int = 0
    guidance: float = 2.0
    trained_on: str = ""
    data_licence: str = ""
    command: str = ""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 0, 1e6),
            ("batch_size", 1, 1e6),
            ("learning_rate", 0, 1),
            ("final_learning_rate", 0, 1),
            ("warmup_epochs", 0, 1e6),
            ("weight_decay", 0, 1),
            ("clip", 0, 1e6),
            ("ema", 0, 0.999999),
            ("label_drop", 0, 1),
            ("seed", 0, 2**31),
            ("save_every", 1, 1e9),
            ("sheet_every", 0, 1e9),
            ("stop_after", 0, 1e9),
            ("guidance", 0, 20),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{_flag(name)} must lie in {low:g}..{high:g}, got {getattr(self, name):g}")
        if self.in_channels not in (1, 3):
            raise ValueError(f"--in-channels must be 1 (grey) or 3 (RGB), got {self.in_channels}")
        if self.noise_type == "gaussian" and self.noise_std == 0:
            raise ValueError("--noise-std must be above 0 for Gaussian noise: a flow of quantised data diverges")
        self.architecture(num_classes=0)

    def architecture(self, num_classes: int) -> TarFlowConfig:
        """The flow to train on data of `num_classes` classes.

        Raises:
            ValueError: The sizes do not fit together.
        """
        # One grey level is 1/128 wide: that is the uniform noise's own standard deviation.
        noise_std = self.noise_std if self.noise_type == "gaussian" else 12**-0.5 / 128
        return TarFlowConfig(
            image_size=self.image_size,
            patch_size=self.patch_size,
            channels=self.channels,
            blocks=self.blocks,
            layers_per_block=self.layers_per_block,
            in_channels=self.in_channels,
            head_dim=self.head_dim,
            num_classes=0 if self.unconditional else num_classes,
            noise_std=noise_std,
            noise_type=self.noise_type,
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}

    def differences(self, earlier: dict[str, Any]) -> list[str]:
        """What makes this another run than the one with `earlier` options, each as "--option: was X, is Y"."""
        now = self.to_json()
        names = [field.name for field in fields(self) if field.name not in CHANGEABLE]
        return [
            f"{_flag(name)}: was {earlier.get(name)}, is {now[name]}"
            for name in names
            if earlier.get(name) != now[name]
        ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
