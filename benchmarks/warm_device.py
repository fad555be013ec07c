"""A device made ready to be measured.

Owns what the first use of a GPU would else put into the time or the memory of whatever is measured first. Knows
nothing of what is measured.
"""

import torch

from model import TarFlow, TarFlowConfig, sample
from model.device import find_device


def warm_device(name: str) -> torch.device:
    """The device called `name`: of a GPU, the libraries loaded and their workspaces there, on every stream of ours.

    cuDNN's attention is turned off on a GPU. Torch prefers it on some for half precision, but it plans for every new
    number of keys, 20 to 40 ms each, and a loop that knows its patches one by one has as many as patches.

    Raises:
        ValueError: There is no such device on this machine.
    """
    device = find_device(name)
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
        flow = TarFlow(TarFlowConfig(8, 4, 64, 2, 1)).requires_grad_(False).to(device)
        sample(flow, torch.randn(1, 4, 48, device=device), method="sequential")
    return device
