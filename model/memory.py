"""What a batch takes of a device's memory, known before it runs.

Owns the arithmetic and the telling of a full memory from other failures. Knows nothing of batches
as they are asked for.
"""

import torch

from model.config import TarFlowConfig

# Floats that autograd keeps of one patch in one layer, in units of channels: what the norms, the
# attention and the feed-forward network's nonlinearity need for their gradients.
KEPT_CHANNELS = 11
# Copies of an image that live while a batch is sampled: noise, latents and patches in two orders, the result.
SEQUENCES = 6
# What a full memory is called where it is not torch's own allocator that finds it full: on a CPU, by CUDA's runtime, by
# its libraries.
FULL = ("allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
# Floats of one patch while a layer is computed, in units of channels.
LAYER_CHANNELS = 11


def sampling_bytes(config: TarFlowConfig, requests: int, rows: int, window: int = 1, itemsize: int = 4) -> int:
    """Peak of `sample` beside the weights.

    Args:
        config: The flow's.
        requests: Images.
        rows: Rows of the network: the images' and their null rows.
        window: Patches computed at once: 1 for the serial way, T - 1 for rounds.
        itemsize: Bytes of a number.
    """
    width = config.channels * config.layers_per_block
    cache = 2 * rows * (config.patches - 1) * width
    sequences = SEQUENCES * requests * config.patches * config.patch_dims
    return itemsize * (cache + sequences + LAYER_CHANNELS * rows * window * config.channels)


def score_bytes(config: TarFlowConfig, images: int, itemsize: int = 4) -> int:
    """Peak of one gradient of the log-density with respect to so many images, beside the weights."""
    layers = config.blocks * config.layers_per_block
    return (
        itemsize * images * config.patches * (layers * KEPT_CHANNELS * config.channels + SEQUENCES * config.patch_dims)
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch might not have failed so."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in FULL)
