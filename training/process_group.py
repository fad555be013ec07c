"""This process among those of a distributed run.

Owns rank, world and device; sets up and tears down torch.distributed under `torchrun`.
Knows nothing of training.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from model.device import avoid_cudnn_attention, find_device


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

    def mean(self, values: Tensor) -> Tensor:
        """The mean of each of the values over the processes; all of them must ask."""
        if self.world > 1:
            distributed.all_reduce(values)
        return values / self.world

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def process_group(device: str) -> Iterator[ProcessGroup]:
    """The group this process belongs to: that of `torchrun`'s environment, else itself alone.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`; under torchrun each process takes its own GPU.

    Raises:
        ValueError: No such device here.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    own = find_device(device)
    if own.type == "cuda":
        avoid_cudnn_attention()
    if own.type == "cuda" and own.index is None:
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(own)
    if world == 1:
        yield ProcessGroup(0, 1, own)
        return
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(rank, world, own)
    finally:
        distributed.destroy_process_group()
