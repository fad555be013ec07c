"""A folder of class folders as one tensor of pixels.

Owns the scan, the decoding and the fit to the flow's size. Knows nothing of noise or batches.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pictures.fitting import Shape, UnfitImage, decode, fit

BYTES_PER_GIB = 2**30


class DataError(ValueError):
    """A data folder that cannot be used; the message names it and what is wrong."""


@dataclass(frozen=True)
class ImageFolder:
    """Decoded images.

    Attributes:
        pixels: (N, C, H, W) uint8.
        labels: (N,) int64.
        class_names: Folder names, in label order.
        unreadable: Files left out, each as "path: reason".
    """

    pixels: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    unreadable: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def read_image_folder(
    folder: Path, image_size: int, in_channels: int, class_names: Sequence[str] = (), limit_gib: float = 16.0
) -> ImageFolder:
    """Read `folder`/<class>/<file>, every image cropped and resized to a square.

    Args:
        folder: Holds one folder per class.
        image_size: Side of the square, in pixels; the short side is resized, the rest cropped centrally.
        in_channels: 1 converts to grey, 3 to RGB.
        class_names: The classes a checkpoint knows, in label order; the folders must be among
            them. Left out: the folders' names, sorted.
        limit_gib: Refuse data that would take more memory than this.

    Raises:
        DataError: No such folder, no class folders, unknown classes, nothing readable, or too large.
    """
    names = _class_folders(folder)
    if unknown := sorted(set(names) - set(class_names or names)):
        raise DataError(f"{folder}: folders {unknown} are not among the checkpoint's classes {list(class_names)}")
    known = tuple(class_names or names)
    files = [
        (file, known.index(name)) for name in names for file in sorted((folder / name).iterdir()) if file.is_file()
    ]
    size_gib = len(files) * in_channels * image_size**2 / BYTES_PER_GIB
    if size_gib > limit_gib:
        raise DataError(
            f"{folder}: {len(files)} images take {size_gib:.1f} GiB of memory, the limit is {limit_gib:g} GiB"
        )
    with ThreadPoolExecutor() as pool:
        decoded = list(pool.map(lambda item: _decode(item[0], Shape(image_size, in_channels)), files))
    unreadable = tuple(found for found in decoded if isinstance(found, str))
    kept = [(found, label) for found, (_, label) in zip(decoded, files, strict=True) if not isinstance(found, str)]
    if not kept:
        raise DataError(f"{folder}: no readable image among {len(files)} files; the first: {unreadable[:1]}")
    pixels = torch.stack([pixels for pixels, _ in kept])
    return ImageFolder(pixels, torch.tensor([label for _, label in kept]), known, unreadable)


def report_unreadable(data: ImageFolder, most: int = 10) -> None:
    """Say on stderr how many files were left out, and name the first of them."""
    if not data.unreadable:
        return
    print(f"{len(data.unreadable)} unreadable files left out of {len(data) + len(data.unreadable)}:", file=sys.stderr)
    for line in data.unreadable[:most]:
        print(f"  {line}", file=sys.stderr)


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise DataError(f"{folder}: holds no class folders; expected {folder}/<class>/<image>")
    return names


def _decode(file: Path, shape: Shape) -> Tensor | str:
    """Pixels (C, H, W), or "path: reason"."""
    try:
        pixels = fit(decode(file), shape)
    except UnfitImage as error:
        return f"{file}: {error}"
    return torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(shape.channels, shape.side, shape.side)
