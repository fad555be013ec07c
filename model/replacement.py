"""Files that are replaced whole or not at all.

Owns the partial file beside each, and when its content must be on the disk. Knows nothing of formats.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Where to write what takes the place of `file` once the block is left; where that raises, all stays as it was."""
    partial = file.with_name(f"{file.name}.partial")
    try:
        yield partial
        # Without it, a power cut after the replacement could leave an empty file of this name.
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(partial, file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
