"""log p(x | class) for every class of a flow.

Owns how images and classes share batches. Knows nothing of what the likelihoods are for.
"""

import torch
from torch import Tensor

from model.flow import TarFlow


def pair_log_probs(flow: TarFlow, images: Tensor, pairs: Tensor) -> Tensor:
    """log p(x | class), (P,) in nats; pair i is of image i // num_classes, (N, C, H, W), and class i % num_classes."""
    classes = flow.config.num_classes
    return flow.log_prob(images[pairs // classes], pairs % classes)


def class_log_probs(flow: TarFlow, images: Tensor) -> Tensor:
    """log p(x | class), (N, num_classes) in nats, of images (N, C, H, W); N of the pairs at a time."""
    classes = flow.config.num_classes
    pairs = torch.arange(len(images) * classes, device=images.device)
    parts = [pair_log_probs(flow, images, part) for part in pairs.split(len(images))]
    return torch.cat(parts).view(len(images), classes)
