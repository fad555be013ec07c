"""What a checkpoint's likelihoods say of a test folder.

Owns bits per dim and Bayes-classifier accuracy, with their intervals. Knows nothing of training or of samples.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from model import TarFlow
from model.class_likelihoods import class_log_probs
from model.pixels import add_noise, bits_per_dim, to_images
from training.image_folder import ImageFolder
from training.interval import Interval, mean_interval, share_interval
from training.progress import Progress


@dataclass(frozen=True)
class Evaluation:
    """Figures over `images` test images.

    Attributes:
        density: Which density `bits_per_dim` belongs to.
        bits_per_dim: Mean over the images, each with one draw of the training noise, under its class.
        bits_per_dim_standard_error: Of that mean; None for a single image.
        bits_per_dim_interval_95: 95 % confidence interval of that mean; None for a single image.
        comparable_with_papers: Whether the density is the dequantised one papers report.
        bayes_accuracy: Share of images whose class has the largest log p(x | class); None without classes.
        bayes_accuracy_interval_95: 95 % confidence interval of that share (Wilson's); None without classes.
    """

    images: int
    unreadable: int
    density: str
    bits_per_dim: float
    bits_per_dim_standard_error: float | None
    bits_per_dim_interval_95: Interval | None
    comparable_with_papers: bool
    bayes_accuracy: float | None
    bayes_accuracy_interval_95: Interval | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)


@torch.no_grad()
def evaluate(flow: TarFlow, data: ImageFolder, batch_size: int = 100, seed: int = 0) -> Evaluation:
    """Figures of `flow` on `data`; the noise draws depend on `seed` and the order of the images alone."""
    started_s = time.perf_counter()
    device = next(flow.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    progress = Progress("evaluating, image", len(data))
    densities, correct = [], 0
    for pixels, labels in zip(data.pixels.split(batch_size), data.labels.split(batch_size), strict=True):
        # Image by image: torch draws a batch as a whole, other numbers for another split into batches.
        noisy = torch.stack([add_noise(image, flow.config, generator) for image in pixels]).to(device)
        densities.append(flow.log_prob(noisy, labels.to(device) if flow.config.num_classes else None).cpu())
        if flow.config.num_classes:
            images = to_images(pixels, flow.config).to(device)
            correct += int((class_log_probs(flow, images).argmax(dim=1).cpu() == labels).sum())
        progress.advance(len(labels))
    bits = bits_per_dim(torch.cat(densities), flow.config.dims)
    return Evaluation(
        images=len(data),
        unreadable=len(data.unreadable),
        density=flow.config.density,
        bits_per_dim=bits.mean().item(),
        bits_per_dim_standard_error=bits.std().item() / len(data) ** 0.5 if len(data) > 1 else None,
        bits_per_dim_interval_95=mean_interval(bits),
        comparable_with_papers=flow.config.noise_type == "uniform",
        bayes_accuracy=correct / len(data) if flow.config.num_classes else None,
        bayes_accuracy_interval_95=share_interval(correct, len(data)) if flow.config.num_classes else None,
        seconds=time.perf_counter() - started_s,
    )
