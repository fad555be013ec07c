"""log p(x | class) for every class of a flow.

Owns how images and classes share batches. Knows nothing of what the likelihoods are for.
"""

import torch
from torch import Tensor

from model.flow import TarFlow


def class_log_probs(flow: TarFlow, images: Tensor, rows: int = 64) -> Tensor:
    """log p(x | class), (N, num_classes) in nats, of images (N, C, H, W); at most `rows` of the pairs at a time."""
    classes = flow.config.num_classes
    image_of = torch.arange(len(images), device=images.device).repeat_interleave(classes)
    labels = torch.arange(classes, device=images.device).repeat(len(images))
    parts = zip(image_of.split(rows), labels.split(rows), strict=True)
    return torch.cat([flow.log_prob(images[which], labels) for which, labels in parts]).view(len(images), classes)
