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
    folder: Path,
    image_size: int,
    in_channels: int,
    class_names: Sequence[str] = (),
    num_classes: int = 0,
    limit_gib: float = 16.0,
) -> ImageFolder:
    """Read `folder`/<class>/<file>, every image cropped and resized to a square.

    Args:
        folder: Holds one folder per class.
        image_size: Side of the square, in pixels; the short side is resized, the rest cropped centrally.
        in_channels: 1 converts to grey, 3 to RGB.
        class_names: The classes a checkpoint knows, in label order; the folders must be among
            them. Left out: the folders' names, sorted.
        num_classes: Of a checkpoint that has no names for them: there must be so many folders, or a label would
            be a guess. 0 = any.
        limit_gib: Refuse data that would take more memory than this.

    Raises:
        DataError: No such folder, no class folders, unknown classes or not as many, nothing readable, or too large.
    """
    names = _class_folders(folder)
    if num_classes and not class_names and len(names) != num_classes:
        raise DataError(
            f"{folder}: {len(names)} class folders, and the checkpoint has {num_classes} classes without names: "
            "which is which cannot be told"
        )
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
    pixels, faults = _decode_all([file for file, _ in files], Shape(image_size, in_channels))
    unreadable = tuple(fault for fault in faults if fault is not None)
    labels = [label for (_, label), fault in zip(files, faults, strict=True) if fault is None]
    if not labels:
        raise DataError(f"{folder}: no readable image among {len(files)} files; the first: {unreadable[:1]}")
    return ImageFolder(pixels, torch.tensor(labels), known, unreadable)


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


def _decode_all(files: Sequence[Path], shape: Shape) -> tuple[Tensor, list[str | None]]:
    """Pixels (N, C, H, W) of the readable files, in order, and for every file None or "path: reason"."""
    # Each goes to its place at once: beside the data, there need not be room for them a second time.
    pixels = torch.empty(len(files), shape.channels, shape.side, shape.side, dtype=torch.uint8)

    def put(index: int) -> str | None:
        try:
            decoded = fit(decode(files[index]), shape)
        except UnfitImage as error:
            return f"{files[index]}: {error}"
        pixels[index] = torch.frombuffer(bytearray(decoded), dtype=torch.uint8).view(pixels.shape[1:])
        return None

    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(put, range(len(files))))
    kept = [index for index, fault in enumerate(faults) if fault is None]
    for place, index in enumerate(kept):
        if place != index:
            pixels[place] = pixels[index]
    return pixels[: len(kept)], faults
