"""Images as sequences of patches, and back.

Owns the order of values inside a patch. Knows nothing of networks.
"""

from torch import Tensor
from torch.nn import functional as F


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut images (N, C, H, W) into patches (N, T, D) in raster order, channel-major inside a patch."""
    return F.unfold(images, patch_size, stride=patch_size).transpose(1, 2)


def unpatchify(patches: Tensor, patch_size: int, image_size: int) -> Tensor:
    """Join patches (N, T, D) into images (N, C, H, W): the inverse of `patchify`."""
    return F.fold(patches.transpose(1, 2), image_size, patch_size, stride=patch_size)
