"""State dicts: from tensors under their published names to a flow.

Owns the published layout: the facts read off tensors' shapes and file names, strict and
finite loading. Knows nothing of our folder format.
"""

import math
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.config import TarFlowConfig
from model.errors import CheckpointError
from model.flow import TarFlow

FACTS = ("in_channels", "noise_std", "noise_type", "head_dim")
FILE_NAME = re.compile(
    r"(?P<data>.+)_model_(?P<patch_size>\d+)_(?P<channels>\d+)_(?P<blocks>\d+)_(?P<layers_per_block>\d+)"
    r"_(?P<noise_std>\d+(\.\d+)?)"
)


def read_published(file: Path) -> dict[str, Tensor]:
    """The tensors of a published file, without unpickling anything else.

    Raises:
        CheckpointError: Not a state dict of tensors.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(f"{file}: not a state dict that can be read safely: {error}") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise CheckpointError(f"{file}: not a plain dict of tensors")
    return state


def facts_of_name(name: str) -> dict[str, Any]:
    """What a published file's name says: `data` and the architecture's numbers; empty if it says nothing."""
    match = FILE_NAME.fullmatch(Path(name).name.removesuffix(".pth"))
    if match is None:
        return {}
    found = match.groupdict()
    numbers = {key: int(found[key]) for key in ("patch_size", "channels", "blocks", "layers_per_block")}
    return {"data": found["data"], **numbers, "noise_std": float(found["noise_std"])}


def flow_from_state(state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> TarFlow:
    """A flow with the architecture that the tensors' shapes and `facts` say, made of those tensors themselves.

    Float32 tensors are not copied: those of `read_published` stay in their file until they are looked at.

    Raises:
        CheckpointError: A fact that is not one of `FACTS`, or tensors that are no TarFlow.
    """
    if unknown := sorted(set(facts) - set(FACTS)):
        raise CheckpointError(f"{unknown} cannot be given, only {FACTS}: the rest is read off the tensors")
    return load_state(_config_of_shapes(state, facts), state, copy=False)


def load_state(config: TarFlowConfig, state: Mapping[str, Tensor], copy: bool = True) -> TarFlow:
    """A float32 flow holding exactly the tensors of `state`; masks are derived, so theirs are dropped.

    Args:
        config: The architecture.
        state: Tensors under their published names.
        copy: Whether the flow's memory is its own, whatever becomes of the file behind the tensors.

    Raises:
        CheckpointError: Missing, extra, misshapen or non-finite tensors; the message names them.
    """
    masks = {f"blocks.{index}.attn_mask" for index in range(config.blocks)}
    kept = {
        name: tensor.to(torch.float32, copy=copy).contiguous() for name, tensor in state.items() if name not in masks
    }
    check_finite(kept.items())
    with torch.device("meta"):  # weights that are about to be replaced need no memory
        flow = TarFlow(config)
    try:
        flow.load_state_dict(kept, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"tensors do not fit the architecture: {error}") from error
    if bool((flow.var <= 0).any()):
        raise CheckpointError(f"var holds {flow.var.min().item()}: a variance is above 0")
    return flow


def check_finite(tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Raise CheckpointError naming the first tensor that holds NaN or infinity."""
    for name, tensor in tensors:
        if not bool((finite := tensor.isfinite()).all()):
            first = tensor[~finite][0].item()
            raise CheckpointError(f"{name} holds {int((~finite).sum())} non-finite values, the first {first}")


def _config_of_shapes(state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> TarFlowConfig:
    # Counted, not the largest taken: one stray name must not ask for a flow of a million blocks.
    indices = {tuple(found) for name in state if (found := re.findall(r"blocks\.(\d+)", name))}
    try:
        channels, patch_dims = state["blocks.0.proj_in.weight"].shape
        length = len(state["blocks.0.pos_embed"])
        outputs = len(state["blocks.0.proj_out.weight"])
        num_classes = len(state.get("blocks.0.class_embed", ()))
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"no TarFlow: tensor {error} is missing or misshapen") from error
    in_channels = facts.get("in_channels", 3)
    if type(in_channels) is not int or in_channels < 1:
        raise CheckpointError(f"in_channels must be an integer of at least 1, got {in_channels!r}")
    patch_size = _square_root(patch_dims / in_channels, f"patch of {patch_dims} values in {in_channels} channels")
    side = _square_root(length, f"sequence of {length} patches")
    try:
        return TarFlowConfig(
            image_size=side * patch_size,
            patch_size=patch_size,
            channels=channels,
            blocks=len({block for block, *_ in indices}),
            layers_per_block=len({pair[1] for pair in indices if len(pair) == 2}),
            num_classes=num_classes,
            volume_preserving=outputs == patch_dims,
            **facts,
        )
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"no TarFlow: {error}") from error


def _square_root(value: float, what: str) -> int:
    root = math.isqrt(int(value))
    if root * root != value:
        raise CheckpointError(f"{what} is not square: is in_channels right?")
    return root
