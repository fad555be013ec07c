"""This process among those of a distributed run.

Owns rank, world and device; sets up and tears down torch.distributed under `torchrun`.
Knows nothing of training.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class ProcessGroup:
    """Rank `rank` of `world` processes, working on `device`."""

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """The group this process belongs to: that of `torchrun`'s environment, else itself alone.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`; under torchrun each process takes its own GPU.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind == "cuda":
        kind = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(kind)
    if world == 1:
        yield ProcessGroup(0, 1, torch.device(kind))
        return
    distributed.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
    try:
        yield ProcessGroup(rank, world, torch.device(kind))
    finally:
        distributed.destroy_process_group()
