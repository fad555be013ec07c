"""Whether a picture says that this service made it.

Owns the text chunk that holds a picture's request. Knows nothing of requests.
"""

import struct
from pathlib import Path

from PIL import Image, UnidentifiedImageError

REQUEST_CHUNK = "tarflow"
SIGNATURE_BYTES, CRC_BYTES = 8, 4
FRAME = struct.Struct(">I4s")
TEXTS, END = (b"tEXt", b"zTXt", b"iTXt"), b"IEND"


def is_generated(file: Path) -> bool:
    """Whether the file is a picture with a request of ours in a text chunk."""
    try:
        with Image.open(file) as image:
            return REQUEST_CHUNK in image.info
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return False


def request_chunks(png: bytes) -> int:
    """How many text chunks of a PNG are ours: of several, readers differ in which they show."""
    found, begin, name = 0, SIGNATURE_BYTES, REQUEST_CHUNK.encode()
    while begin + FRAME.size <= len(png):
        length, kind = FRAME.unpack_from(png, begin)
        if kind == END:
            break
        begin += FRAME.size
        if kind in TEXTS and png[begin : begin + length].partition(b"\0")[0] == name:
            found += 1
        begin += length + CRC_BYTES
    return found
