"""Weights that are spread over processes (FSDP2), and the same weights whole.

Owns how a module is sharded and how tensors come whole and go back to their shards. On
tensors that are not sharded everything here is the identity. Knows nothing of training.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from model import TarFlow

State = dict[str, Tensor]


def shard(module: nn.Module, flow: TarFlow) -> None:
    """Shard `module` over all processes, each block of the `flow` in it gathered by itself while it computes."""
    mesh = init_device_mesh(flow.var.device.type, (distributed.get_world_size(),))
    for block in flow.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gathered(tensor: Tensor) -> Tensor:
    """The whole tensor; every process must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole(tensors: Mapping[str, Tensor], keep: bool = True) -> State:
    """The whole tensors by name, gathered one by one; empty where not `keep`."""
    state = {}
    for name, tensor in tensors.items():
        full = gathered(tensor.detach())
        if keep:
            # Of many processes one keeps them: its GPU need not have room for all of them.
            state[name] = full.cpu() if isinstance(tensor, DTensor) else full
    return state


@torch.no_grad()
def take_whole(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Copy whole tensors of the same names into `tensors`, each process its part.

    Raises:
        ValueError: Other names or shapes.
    """
    if tensors.keys() != state.keys():
        raise ValueError(f"tensors {sorted(tensors.keys() ^ state.keys())} are in one of two states alone")
    for name, tensor in tensors.items():
        tensor.copy_(_like(tensor, state[name]))


def whole_optimizer(optimizer: torch.optim.Optimizer, keep: bool = True) -> dict[str, Any]:
    """The optimiser's `state_dict`, its tensors whole; empty where not `keep`."""
    found = optimizer.state_dict()
    state = {index: whole(moments, keep) for index, moments in found["state"].items()}
    return {"state": state, "param_groups": found["param_groups"]} if keep else {}


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Take what `whole_optimizer` gave, each process its shards."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state = {
        index: {
            name: _like(weights[index], value) if value.shape == weights[index].shape else value
            for name, value in moments.items()
        }
        for index, moments in saved["state"].items()
    }
    optimizer.load_state_dict({"state": state, "param_groups": saved["param_groups"]})


def _like(tensor: Tensor, value: Tensor) -> Tensor:
    """A whole `value` on the device and in the shards of `tensor`."""
    value = value.to(tensor.device)
    if not isinstance(tensor, DTensor):
        return value
    return distribute_tensor(value, tensor.device_mesh, tensor.placements)
