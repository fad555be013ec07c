"""Devices by name.

Owns what `auto` means, which names there are on this machine, what people call them, and what is not used of them.
"""

import torch


def find_device(name: str) -> torch.device:
    """The device called `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        ValueError: There is no such device on this machine.
    """
    gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    if name not in ("cpu", "cuda", *(f"cuda:{index}" for index in range(gpus))) or (name == "cuda" and not gpus):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {name!r} on a machine with {gpus} GPUs")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What people call a device: a GPU by its make, a CPU `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def avoid_cudnn_attention() -> None:
    """Let this process compute attention in half precision without cuDNN, which takes no float32.

    From 2.11 on torch prefers cuDNN's on Hopper and Blackwell. It plans anew for every number of queries and keys, 20
    to 40 ms each, where a block that is inverted patch by patch has as many as patches; and gradients (pytorch issue
    196678) and results (193893) of some shapes came out wrong.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
