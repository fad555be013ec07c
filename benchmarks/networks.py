"""The judges' networks: bytes of small square images in, features and logits out.

Owns the two architectures and the images they take. Knows nothing of training, of files, or of what is judged.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SIDES = range(16, 65, 4)
CHANNELS = {1: "grey", 3: "RGB"}
WIDTHS = range(8, 257, 8)
DEFAULT_WIDTHS = {"small": 32, "residual": 64}


@dataclass(frozen=True)
class Architecture:
    """What a network is built from.

    Attributes:
        name: `small`, two convolutions, enough for digits; `residual`, ten of them, for colour.
        image_size: Side of its images, in pixels: a multiple of 4 in [16, 64].
        in_channels: 1 = grey, 3 = RGB.
        width: Channels of the first convolution, a multiple of 8 in [8, 256]; the others follow. 0 = the name's own.
    """

    name: str
    image_size: int
    in_channels: int
    width: int = 0

    def __post_init__(self) -> None:
        if self.name not in DEFAULT_WIDTHS:
            raise ValueError(f"architecture must be one of {', '.join(DEFAULT_WIDTHS)}, got {self.name!r}")
        if self.image_size not in SIDES:
            raise ValueError(f"image_size must be a multiple of 4 in [16, 64], got {self.image_size}")
        if self.in_channels not in CHANNELS:
            raise ValueError(f"in_channels must be 1 (grey) or 3 (RGB), got {self.in_channels}")
        if self.width and self.width not in WIDTHS:
            raise ValueError(f"width must be a multiple of 8 in [8, 256], got {self.width}")
        object.__setattr__(self, "width", self.width or DEFAULT_WIDTHS[self.name])

    @property
    def images(self) -> str:
        """What it takes, for people."""
        return f"{CHANNELS[self.in_channels]} images of {self.image_size} pixels"


class Classifier(nn.Module):
    """uint8 pixels (N, C, S, S) to logits (N, classes), by way of features (N, F)."""

    def __init__(self, architecture: Architecture, classes: int) -> None:
        super().__init__()
        self.architecture = architecture
        build = _small if architecture.name == "small" else _residual
        body, head = build(architecture, classes)
        self.layers = nn.Sequential(*body, *head)
        self.body_layers = len(body)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, classes) of uint8 pixels."""
        values = self.features(pixels)
        for layer in list(self.layers)[self.body_layers :]:
            values = layer(values)
        return values

    def features(self, pixels: Tensor) -> Tensor:
        """The values before the last layer, (N, F): 4 widths of `small`, 5 of `residual`."""
        values = pixels / 127.5 - 1
        for layer in list(self.layers)[: self.body_layers]:
            values = layer(values)
        return values


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_convolution(channels, channels), _convolution(channels, channels))

    def forward(self, values: Tensor) -> Tensor:
        """Values (N, channels, H, W) of the same shape."""
        return values + self.layers(values)


Layers = tuple[list[nn.Module], list[nn.Module]]


def _small(architecture: Architecture, classes: int) -> Layers:
    """Body and head of two convolutions and two linear layers."""
    width, features = architecture.width, 4 * architecture.width
    body: list[nn.Module] = []
    for inputs, outputs in ((architecture.in_channels, width), (width, 2 * width)):
        # Pooling first: normalising and rectifying a quarter of the values costs a quarter.
        body += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(outputs), nn.ReLU()]
    flat = 2 * width * (architecture.image_size // 4) ** 2
    body += [nn.Flatten(), nn.Linear(flat, features), nn.ReLU()]
    return body, [nn.Dropout(0.25), nn.Linear(features, classes)]


def _residual(architecture: Architecture, classes: int) -> Layers:
    """Body and head of a stem and three halvings of the side, a residual pair after each; features are means."""
    width = architecture.width
    body: list[nn.Module] = [_convolution(architecture.in_channels, width)]
    for inputs, outputs in ((width, 2 * width), (2 * width, 4 * width), (4 * width, 5 * width)):
        body += [_convolution(inputs, outputs, nn.MaxPool2d(2)), Residual(outputs)]
    body += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return body, [nn.Linear(5 * width, classes)]


def _convolution(inputs: int, outputs: int, *pooling: nn.Module) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, *pooling, nn.BatchNorm2d(outputs), nn.ReLU())


def build(architecture: Architecture, classes: int, state: dict[str, Any] | None = None) -> Classifier:
    """A network with weights drawn from torch's generator, or those of a state dict.

    Raises:
        RuntimeError: The state is another network's.
    """
    network = Classifier(architecture, classes)
    if state is not None:
        network.load_state_dict(state)
    return network


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights lie; the CPU where it has none."""
    weight = next(network.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device
