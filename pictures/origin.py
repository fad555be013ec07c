"""Whether a picture says that this service made it.

Owns the text chunk that holds a picture's request. Knows nothing of requests.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

REQUEST_CHUNK = "tarflow"
SIGNATURE_BYTES, CRC_BYTES = 8, 4
FRAME = struct.Struct(">I4s")
TEXTS, END = (b"tEXt", b"zTXt", b"iTXt"), b"IEND"
# As ours are written: what else a file may hold changes what a viewer shows, or is hidden from it.
OURS = re.compile(rb"IHDR(tEXt|iTXt)*(IDAT)+IEND")


def is_generated(file: Path) -> bool:
    """Whether the file is a picture with a request of ours in a text chunk."""
    try:
        with Image.open(file) as image:
            return REQUEST_CHUNK in image.info
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return False


def request_chunks(png: bytes) -> int:
    """How many text chunks of a PNG are ours: of several, readers differ in which they show."""
    name = REQUEST_CHUNK.encode()
    return sum(kind in TEXTS and png[begin:end].partition(b"\0")[0] == name for kind, begin, end in _chunks(png))


def is_written_as_ours(png: bytes) -> bool:
    """Whether a PNG has the chunks of a picture of ours and no others, in their order, and nothing after its end."""
    chunks = list(_chunks(png))
    ends = chunks[-1][2] + CRC_BYTES if chunks else 0
    return ends == len(png) and OURS.fullmatch(b"".join(kind for kind, _, _ in chunks)) is not None


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each chunk of a PNG up to its end, and where its content begins and ends."""
    begin = SIGNATURE_BYTES
    while begin + FRAME.size <= len(png):
        length, kind = FRAME.unpack_from(png, begin)
        begin += FRAME.size
        yield kind, begin, begin + length
        if kind == END:
            break
        begin += length + CRC_BYTES
