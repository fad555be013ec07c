"""Devices by name.

Owns what `auto` means, which names there are on this machine, and what people call them.
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
