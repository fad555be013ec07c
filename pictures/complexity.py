"""How many bits a picture takes without loss: a measure of its complexity that no model made.

Owns the encoder and its settings, which must never change under a stored calibration. Knows nothing of scores.
"""

import io

from PIL import Image

from pictures.fitting import Shape

# PNG's signature, header, and the frames of its data and its end: the same for every picture.
FRAME_BYTES = 8 + 25 + 12 + 12


def complexity_bits_per_dim(pixels: bytes, shape: Shape) -> float:
    """Bits per value of the PNG of pixels (C, H, W), one byte each; what every PNG has is not counted."""
    area = shape.side**2
    bands = [Image.frombytes("L", (shape.side, shape.side), pixels[i * area :][:area]) for i in range(shape.channels)]
    file = io.BytesIO()
    Image.merge(shape.mode, bands).save(file, "PNG", compress_level=9)
    return 8 * (len(file.getvalue()) - FRAME_BYTES) / len(pixels)
