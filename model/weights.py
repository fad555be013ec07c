"""The weights of a checkpoint on disk: `model.safetensors`, or the same in numbered parts.

Owns the files' names, how tensors are shared out among parts, and the digest over all of
them. Never unpickles. Knows nothing of flows or cards.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.errors import CheckpointError
from model.replacement import replacing

WEIGHTS_FILE = "model.safetensors"
PARTS = "model-*-of-*.safetensors"
PART_NAME = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
# What a tensor takes in a file's header beside its name: dtype, shape, offsets, punctuation.
HEADER_BYTES = 160


def write_weights(folder: Path, state: Mapping[str, Tensor], part_bytes: int | None = None) -> str:
    """Write `state` in place of the weights in `folder`; the SHA-256 of the files' bytes, in order.

    Args:
        folder: Holds the weights alone or with other files.
        state: Contiguous tensors on the CPU, by name.
        part_bytes: No part is larger, unless a single tensor is; None = one file.
    """
    parts = [dict(state)] if part_bytes is None else _share_out(state, part_bytes)
    names = [f"model-{index:05}-of-{len(parts):05}.safetensors" for index in range(1, len(parts) + 1)]
    files = [folder / name for name in (names if part_bytes is not None else [WEIGHTS_FILE])]
    with ExitStack() as replacements:
        partials = [replacements.enter_context(replacing(file)) for file in files]
        for part, partial in zip(parts, partials, strict=True):
            save_file(part, partial)
            partial.chmod(0o644)  # safetensors makes it private; a server may run as another user
        digest = _digest(partials)
    for stale in {folder / WEIGHTS_FILE, *folder.glob(PARTS)} - set(files):
        stale.unlink(missing_ok=True)
    return digest


def read_weights(folder: Path, digest: str) -> dict[str, Tensor]:
    """The tensors in `folder`, in the dtype they were written in; an empty `digest` is not checked.

    Raises:
        CheckpointError: A missing, damaged or stray file, or a tensor that is in two parts.
    """
    files = weights_files(folder)
    state: dict[str, Tensor] = {}
    try:
        if digest and _digest(files) != digest:
            what = files[0] if len(files) == 1 else folder / PARTS
            raise CheckpointError(f"{what}: damaged, its SHA-256 is not the {digest} of the config")
        for file in files:
            part = load_file(file)
            if twice := sorted(state.keys() & part.keys()):
                raise CheckpointError(f"{file}: holds {twice}, which an earlier part holds too")
            state |= part
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / WEIGHTS_FILE if len(files) == 1 else folder}: {error}") from error
    return state


def weights_files(folder: Path) -> list[Path]:
    """The files that hold the weights in `folder`, in order.

    Raises:
        CheckpointError: Parts are missing, or belong to different wholes, or stand beside a whole file.
    """
    parts = sorted(folder.glob(PARTS))
    if not parts:
        return [folder / WEIGHTS_FILE]
    if (folder / WEIGHTS_FILE).exists():
        raise CheckpointError(f"{folder}: holds both {WEIGHTS_FILE} and parts of one")
    names = [PART_NAME.fullmatch(part.name) for part in parts]
    wholes = {match and match[2] for match in names}
    if None in wholes or len(wholes) > 1:
        raise CheckpointError(f"{folder}: these are not the parts of one whole: {[part.name for part in parts]}")
    count = int(wholes.pop() or 0)
    expected = [f"model-{index:05}-of-{count:05}.safetensors" for index in range(1, count + 1)]
    if missing := sorted(set(expected) - {part.name for part in parts}):
        raise CheckpointError(f"{folder}: parts {missing} are missing")
    if len(parts) != count:
        raise CheckpointError(f"{folder}: {len(parts)} parts say that they are {count}")
    return parts


def _share_out(state: Mapping[str, Tensor], part_bytes: int) -> list[dict[str, Tensor]]:
    """`state` in order, in as few runs as fit into `part_bytes` each."""
    parts: list[dict[str, Tensor]] = [{}]
    room = part_bytes
    for name, tensor in state.items():
        need = tensor.nbytes + len(name) + HEADER_BYTES
        if need > room and parts[-1]:
            parts.append({})
            room = part_bytes
        parts[-1][name] = tensor
        room -= need
    return parts


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
