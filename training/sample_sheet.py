"""A sheet of samples as PNG: one class a row.

Owns the layout and the fixed noise that makes sheets comparable. Knows nothing of training.
"""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from model import TarFlow, denoise, sample
from model.pixels import contact_sheet, to_pixels

MOST_ROWS = 10


def class_samples(flow: TarFlow, labels: Tensor, guidance: float, seed: int = 0) -> Tensor:
    """uint8 pixels (N, C, H, W) of samples under labels (N,), denoised where the flow allows it."""
    config = flow.config
    device = next(flow.parameters()).device
    labels = labels.to(device)
    noise = torch.randn(len(labels), config.patches, config.patch_dims, generator=torch.Generator().manual_seed(seed))
    images = sample(flow, noise.to(device), labels if config.num_classes else None, guidance)
    if config.noise_type == "gaussian":
        images = denoise(flow, images, labels if config.num_classes else None)
    return to_pixels(images, config).cpu()


def write_sample_sheet(flow: TarFlow, file: Path, guidance: float, columns: int = 10) -> None:
    """Write a sheet of `columns` samples for each of the first classes."""
    rows = min(flow.config.num_classes, MOST_ROWS) or MOST_ROWS
    labels = torch.arange(rows).repeat_interleave(columns)
    sheet = contact_sheet(class_samples(flow, labels, guidance), columns)
    file.parent.mkdir(parents=True, exist_ok=True)
    to_image(sheet).save(file)


def to_image(pixels: Tensor) -> Image.Image:
    """uint8 pixels (C, H, W), grey or RGB, as a Pillow image."""
    channels, height, width = pixels.shape
    content = pixels.permute(1, 2, 0).contiguous().numpy().tobytes()
    return Image.frombytes("L" if channels == 1 else "RGB", (width, height), content)
