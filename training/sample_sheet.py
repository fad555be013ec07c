"""A sheet of samples as PNG: one class a row.

Owns the layout and the fixed noise that makes sheets comparable. Knows nothing of training.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from model import TarFlow
from model.card import SamplingDefaults
from model.pixels import contact_sheet, to_pixels
from model.replacement import replacing
from training.drawing import draw

MOST_ROWS = 10


def class_samples(flow: TarFlow, labels: Tensor, sampling: SamplingDefaults, seed: int = 0) -> Tensor:
    """uint8 pixels (N, C, H, W) of samples under labels (N,)."""
    shape = (len(labels), flow.config.patches, flow.config.patch_dims)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return to_pixels(draw(flow, noise, labels, sampling), flow.config).cpu()


def write_sample_sheet(flow: TarFlow, file: Path, sampling: SamplingDefaults, columns: int = 10) -> None:
    """Write a sheet of `columns` samples for each of the first classes."""
    rows = min(flow.config.num_classes, MOST_ROWS) or MOST_ROWS
    labels = torch.arange(rows).repeat_interleave(columns)
    sheet = contact_sheet(class_samples(flow, labels, sampling), columns)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        to_image(sheet).save(partial, "PNG")


def to_image(pixels: Tensor) -> Image.Image:
    """uint8 pixels (C, H, W), grey or RGB, as a Pillow image."""
    channels, height, width = pixels.shape
    content = pixels.permute(1, 2, 0).contiguous().numpy().tobytes()
    return Image.frombytes("L" if channels == 1 else "RGB", (width, height), content)
