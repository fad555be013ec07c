"""Image files for tests: what Pillow writes, and PNGs built by hand that it would not write.

Owns the bytes. Knows no law.
"""

import io
import random
import struct
import zlib
from typing import Any

from PIL import Image

GREY, COLOURS, PALETTE = 0, 2, 3  # PNG's colour types
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def plain(mode: str, size: tuple[int, int], colour: Any) -> Image.Image:
    """An image of one colour."""
    return Image.new(mode, size, colour)


def noise(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """An RGB image of random values."""
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * size[0] * size[1]))


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """An image as a file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of raw `rows` (a filter byte before each), with `chunks` between its header and its pixels."""
    return png_around(width, height, depth, colour_type, *chunks, (b"IDAT", zlib.compress(rows)))


def png_around(width: int, height: int, depth: int, colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with a valid header and these chunks, whatever they hold."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return SIGNATURE + b"".join(_chunk(*each) for each in ((b"IHDR", header), *chunks, (b"IEND", b"")))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
