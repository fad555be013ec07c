"""The facts that fix a TarFlow network and the density it models.

Owns `TarFlowConfig` and its bounds. Knows nothing of tensors, files or training.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

NoiseType = Literal["gaussian", "uniform"]


@dataclass(frozen=True)
class TarFlowConfig:
    """Architecture of a TarFlow (arXiv 2412.06329) and the noise its training data carried.

    Attributes:
        image_size: Height and width of an image, in pixels; a multiple of `patch_size`.
        in_channels: Colour channels of an image (1 grey, 3 RGB).
        patch_size: Height and width of a patch, in pixels.
        channels: Width of the Transformers; a multiple of `head_dim`.
        blocks: Flow blocks, alternating in direction.
        layers_per_block: Transformer layers in each flow block.
        head_dim: Width of one attention head.
        num_classes: Classes the flow is conditioned on; 0 = unconditional.
        volume_preserving: Shift only, no scale; the prior then learns a variance.
        noise_std: Standard deviation of the noise added in training, images in [-1, 1].
        noise_type: `gaussian` (noise-smoothed density) or `uniform` (dequantised density).

    Raises:
        ValueError: A value out of its bounds; the message names the field and the bound.
    """

    image_size: int
    patch_size: int
    channels: int
    blocks: int
    layers_per_block: int
    in_channels: int = 3
    head_dim: int = 64
    num_classes: int = 0
    volume_preserving: bool = False
    noise_std: float = 0.0
    noise_type: NoiseType = "gaussian"

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "channels", "blocks", "layers_per_block", "in_channels", "head_dim"):
            _check_integer(name, getattr(self, name), least=1)
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size must be a multiple of patch_size {self.patch_size}, got {self.image_size}")
        if self.patches < 2:
            raise ValueError(f"patch_size must leave at least 2 patches in an image of {self.image_size}")
        if self.channels % self.head_dim:
            raise ValueError(f"channels must be a multiple of head_dim {self.head_dim}, got {self.channels}")
        _check_integer("num_classes", self.num_classes, least=0)
        if type(self.volume_preserving) is not bool:
            raise ValueError(f"volume_preserving must be true or false, got {self.volume_preserving!r}")
        if not isinstance(self.noise_std, int | float) or type(self.noise_std) is bool or not 0 <= self.noise_std <= 1:
            raise ValueError(f"noise_std must lie in [0, 1], got {self.noise_std!r}")
        if self.noise_type not in get_args(NoiseType):
            raise ValueError(f"noise_type must be one of {get_args(NoiseType)}, got {self.noise_type!r}")

    @property
    def patches(self) -> int:
        """Patches in an image: T of the paper."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def patch_dims(self) -> int:
        """Values in a patch: D of the paper."""
        return self.in_channels * self.patch_size**2

    @property
    def dims(self) -> int:
        """Values in an image: T * D."""
        return self.patches * self.patch_dims

    @property
    def heads(self) -> int:
        """Attention heads of a layer."""
        return self.channels // self.head_dim

    @property
    def density(self) -> str:
        """Which density `log_prob` is the logarithm of, in words for people."""
        if self.noise_type == "uniform":
            return "dequantised with uniform noise one grey level wide"
        return f"noise-smoothed: image + Gaussian noise of standard deviation {self.noise_std:g}"

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError: A field is unknown, missing or out of bounds.
        """
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"not an architecture: {error}") from error


def _check_integer(name: str, value: object, least: int) -> None:
    # A config may come from JSON, where 2.0 and true are numbers too.
    if type(value) is not int or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
