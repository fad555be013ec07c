"""A device made ready to be measured.

Owns what the first use of a GPU would else put into the time or the memory of whatever is measured first. Knows
nothing of what is measured.
"""

import torch

from model import TarFlow, TarFlowConfig, sample
from model.device import avoid_cudnn_attention, find_device


def warm_device(name: str) -> torch.device:
    """The device called `name`: of a GPU, the libraries loaded and their workspaces there, on every stream of ours.

    Raises:
        ValueError: There is no such device on this machine.
    """
    device = find_device(name)
    if device.type == "cuda":
        avoid_cudnn_attention()
        flow = TarFlow(TarFlowConfig(8, 4, 64, 2, 1)).requires_grad_(False).to(device)
        sample(flow, torch.randn(1, 4, 48, device=device), method="sequential")
    return device
