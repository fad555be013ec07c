"""How many bits a picture takes without loss: a measure of its complexity that no model made.

Owns the encoder and its settings, which must never change under a stored calibration, and the probes that tell
whether they have: another zlib gives other lengths, and Pillow brings its own. Knows nothing of scores.
"""

import io
import random
import zlib
from collections.abc import Iterator
from functools import lru_cache

from PIL import Image, __version__, features

from pictures.fitting import Shape

# PNG's signature, header, and the frames of its data and its end: the same for every picture.
FRAME_BYTES = 8 + 25 + 12 + 12
PROBE_SIDE = 64


def complexity_bits_per_dim(pixels: bytes, shape: Shape) -> float:
    """Bits per value of the PNG of pixels (C, H, W), one byte each; what every PNG has is not counted."""
    return 8 * _data_bytes(pixels, shape) / len(pixels)


@lru_cache(maxsize=1)
def probe_lengths() -> tuple[int, ...]:
    """Bytes of the PNGs of a few fixed pictures, what every PNG has not counted: equal where the encoders are."""
    return tuple(_data_bytes(pixels, Shape(PROBE_SIDE, channels)) for pixels, channels in _probes())


def encoder() -> str:
    """What encodes, for people; two of one name may differ by how they were built."""
    zlib_ng = features.version("zlib_ng")
    own = f"zlib-ng {zlib_ng}" if zlib_ng else f"zlib {features.version('zlib')}"
    return f"Pillow {__version__} with {own}; Python's own zlib is {zlib.ZLIB_RUNTIME_VERSION}"


def _probes() -> Iterator[tuple[bytes, int]]:
    """Pixels and channels: a ramp, strokes, levels in no order, coloured slopes with a little noise."""
    drawn, places = random.Random(0), [(x, y) for y in range(PROBE_SIDE) for x in range(PROBE_SIDE)]
    yield bytes((3 * x + 5 * y) % 256 for x, y in places), 1
    yield bytes(255 * (((x - 32) ** 2 + (y - 30) ** 2) // 40 % 7 == 3) for x, y in places), 1
    yield bytes(drawn.choices((0, 64, 192), k=len(places))), 1
    yield bytes(x * (c + 1) % 200 + y // 4 + drawn.randrange(8) for c in range(3) for x, y in places), 3


def _data_bytes(pixels: bytes, shape: Shape) -> int:
    area = shape.side**2
    bands = [Image.frombytes("L", (shape.side, shape.side), pixels[i * area :][:area]) for i in range(shape.channels)]
    file = io.BytesIO()
    Image.merge(shape.mode, bands).save(file, "PNG", compress_level=9)
    return len(file.getvalue()) - FRAME_BYTES
