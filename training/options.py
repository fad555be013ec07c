"""What a training run is told.

Owns the options, their bounds and what may change on resuming. Knows nothing of data or steps.
"""

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from model import TarFlowConfig
from model.config import NoiseType

Precision = Literal["float32", "bf16"]
WeightsDtype = Literal["float32", "float16", "bfloat16"]

# What a resumed run may do differently without becoming another run. With other epochs the
# learning rate follows the new schedule from there on.
WHERE = {"data", "out", "device", "device_data_gib", "command"}
HOW = {"compile", "accumulate", "shard"}
HOW_LONG = {"epochs", "resume", "resume_or_begin", "stop_after", "stop_after_s"}
WHAT_IS_WRITTEN = {"save_every", "sheet_every", "log_every", "weights_dtype", "part_mib", "tensorboard", "wandb"}
CHANGEABLE = WHERE | HOW | HOW_LONG | WHAT_IS_WRITTEN

SMALLEST_PART_MIB = 0.001


@dataclass(frozen=True)
class TrainOptions:
    """Options of one training run; sizes in images and steps, learning rates per step.

    `tarflow train --help` says what each means.

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
    class_weight: float = 0.0
    flip: bool = False
    seed: int = 0
    device: str = "auto"
    device_data_gib: float = 8.0
    precision: Precision = "float32"
    compile: bool = False
    accumulate: int = 1
    shard: bool = False
    resume: bool = False
    resume_or_begin: bool = False
    init: str = ""
    log_every: int = 0
    save_every: int = 500
    sheet_every: int = 2000
    stop_after: int = 0
    stop_after_s: float = 0.0
    weights_dtype: WeightsDtype = "float32"
    part_mib: float = 0.0
    tensorboard: bool = False
    wandb: str = ""
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
            ("class_weight", 0, 1e3),
            ("seed", 0, 2**31),
            ("device_data_gib", 0, 1e6),
            ("accumulate", 1, 1e6),
            ("log_every", 0, 1e9),
            ("save_every", 1, 1e9),
            ("sheet_every", 0, 1e9),
            ("stop_after", 0, 1e9),
            ("stop_after_s", 0, 1e9),
            ("part_mib", 0, 1e6),
            ("guidance", 0, 20),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{_flag(name)} must lie in {low:g}..{high:g}, got {getattr(self, name):g}")
        if 0 < self.part_mib < SMALLEST_PART_MIB:
            raise ValueError(
                f"--part-mib must be 0, for one file, or at least {SMALLEST_PART_MIB:g}, got {self.part_mib:g}"
            )
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
        """What makes this another run than the one with `earlier` options, each as "--option: was X, is Y".

        An option that there was not yet had its default.
        """
        now = self.to_json()
        decisive = [option for option in fields(self) if option.name not in CHANGEABLE]
        was = {option.name: option.default for option in decisive if option.default is not MISSING} | earlier
        return [
            f"{_flag(option.name)}: was {was.get(option.name)}, is {now[option.name]}"
            for option in decisive
            if was.get(option.name) != now[option.name]
        ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
