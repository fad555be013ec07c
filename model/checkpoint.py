"""Checkpoints on disk: a flow's weights and `config.json` in a folder.

Owns the config, strict loading and the search by name; the weights' files are
`model.weights`'. Never unpickles. Knows nothing of training state or of who serves the flow.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.card import Card
from model.config import TarFlowConfig
from model.errors import CheckpointError
from model.flow import TarFlow
from model.published import check_finite, flow_from_state, load_state, read_published
from model.replacement import replacing
from model.weights import read_weights, write_weights

BUNDLED = Path(__file__).parent / "checkpoints"
CONFIG_FILE = "config.json"


def find(name: str | Path) -> Path:
    """The checkpoint called `name`: a path that exists, or a bundled checkpoint's name.

    Raises:
        CheckpointError: There is neither.
    """
    for path in (Path(name), BUNDLED / name):
        if path.is_file() or (path / CONFIG_FILE).is_file():
            return path
    names = sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG_FILE}"))
    raise CheckpointError(f"no checkpoint {str(name)!r}: neither a checkpoint's path nor one of {names}")


def load(path: str | Path, device: str | torch.device = "cpu", **facts: Any) -> TarFlow:
    """A flow ready for inference, in float32, its weights frozen.

    Args:
        path: A checkpoint folder, a bundled checkpoint's name, or a published `.pth` file. The flow's memory is
            its own but for a published file's, which is mapped: leave that file as it is while the flow lives.
        device: Where to put it.
        **facts: For a published file only: the `TarFlowConfig` fields its tensors do not show
            (`in_channels`, `noise_std`, `noise_type`, `head_dim`).

    Raises:
        CheckpointError: Missing, damaged or unfitting files or tensors, non-finite weights,
            or facts that contradict the tensors. Nothing is loaded in part.
    """
    found = find(path)
    if found.is_file():
        flow = flow_from_state(read_published(found), facts)
    elif facts:
        raise CheckpointError(f"{found}: a checkpoint folder holds its own facts, {sorted(facts)} cannot be given")
    else:
        config, card = _read_config(found)
        flow = load_state(config, read_weights(found, card.digest))
    return flow.to(device).eval().requires_grad_(False)


def load_card(path: str | Path) -> Card:
    """The card of a checkpoint folder.

    Raises:
        CheckpointError: As `load`; a published file, which has none.
    """
    return _read_config(_find_folder(path))[1]


def save(
    flow: TarFlow,
    path: str | Path,
    card: Card | None = None,
    dtype: torch.dtype = torch.float32,
    part_bytes: int | None = None,
) -> None:
    """Write a checkpoint folder, each file atomically; weights in `dtype`, in one file or in parts.

    Args:
        flow: The flow.
        path: The folder; weights that it holds are replaced.
        card: What the checkpoint says of itself.
        dtype: Of the weights on disk; they load as float32.
        part_bytes: Largest part, unless a single tensor is larger; None = one file.

    Raises:
        CheckpointError: A weight is not finite in `dtype`, or class names do not fit the flow.
    """
    card = card or Card()
    _check_class_names(flow.config, card)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in flow.state_dict().items()}
    check_finite(state.items())
    # The published code registers its mask as a buffer and loads strictly: with it, it can read our file.
    length = flow.config.patches
    for index in range(flow.config.blocks):
        state[f"blocks.{index}.attn_mask"] = torch.ones(length, length, dtype=torch.uint8).tril()
    card = replace(card, digest=write_weights(folder, state, part_bytes))
    _write_config(folder, flow.config, card)


def add_metrics(path: str | Path, metrics: dict[str, float], command: str = "") -> None:
    """Add figures, and the command that measured them, to the card of a checkpoint folder.

    Raises:
        CheckpointError: As `load_card`.
    """
    card = load_card(path)
    measured_by = dict.fromkeys(metrics, command) if command else {}
    save_card(path, replace(card, metrics=card.metrics | metrics, measured_by=card.measured_by | measured_by))


def save_card(path: str | Path, card: Card) -> None:
    """Put `card` in place of the one of a checkpoint folder; its weights stay as they are.

    Raises:
        CheckpointError: As `load_card`; a card of other weights or classes.
    """
    folder = _find_folder(path)
    config, earlier = _read_config(folder)
    _check_class_names(config, card)
    if card.digest != earlier.digest:
        raise CheckpointError(f"{folder}: the card is of other weights, {card.digest!r} and not {earlier.digest!r}")
    _write_config(folder, config, card)


def load_config(path: str | Path) -> TarFlowConfig:
    """The architecture of a checkpoint folder, without its weights.

    Raises:
        CheckpointError: As `load_card`.
    """
    return _read_config(_find_folder(path))[0]


def _find_folder(path: str | Path) -> Path:
    found = find(path)
    if found.is_file():
        raise CheckpointError(
            f"{found}: a published file says neither its noise nor its classes: `tarflow import` it first"
        )
    return found


def _read_config(folder: Path) -> tuple[TarFlowConfig, Card]:
    file = folder / CONFIG_FILE
    try:
        fields = json.loads(file.read_text())
        config = TarFlowConfig.from_json(fields.pop("architecture"))
        card = Card.from_json(fields)
        _check_class_names(config, card)
        return config, card
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{file}: {error!r}") from error


def _check_class_names(config: TarFlowConfig, card: Card) -> None:
    if card.class_names and len(card.class_names) != config.num_classes:
        raise CheckpointError(f"class_names must number {config.num_classes}, got {len(card.class_names)}")


def _write_config(folder: Path, config: TarFlowConfig, card: Card) -> None:
    with replacing(folder / CONFIG_FILE) as partial:
        partial.write_text(json.dumps({"architecture": config.to_json(), **card.to_json()}, indent=2) + "\n")
