"""How far a picture is: a bar on a terminal, elsewhere a line now and then, and none for what is done soon.

Owns what is printed, and how often. Knows nothing of the work.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from tqdm import tqdm

LINE_INTERVAL_S = 10.0


class Progress:
    """What stderr says of how far some work is."""

    def __init__(self, title: str, unit: str) -> None:
        self.title, self.unit = title, unit
        self._bar = tqdm(desc=title, unit=unit, dynamic_ncols=True) if sys.stderr.isatty() else None
        self._printed_s = time.monotonic()

    @classmethod
    @contextmanager
    def shown(cls, title: str, unit: str) -> Iterator[Self]:
        """Progress that leaves the terminal in order, however the block ends."""
        progress = cls(title, unit)
        try:
            yield progress
        finally:
            if progress._bar is not None:
                progress._bar.close()

    def reach(self, done: int, total: int) -> None:
        """Say that `done` of `total` are done."""
        if self._bar is not None:
            self._bar.total, self._bar.n = total, done
            self._bar.refresh()
        elif time.monotonic() - self._printed_s >= LINE_INTERVAL_S:
            self._printed_s = time.monotonic()
            print(
                f"{self.title}: {done} of {total} {self.unit}{'es' if self.unit.endswith('s') else 's'}",
                file=sys.stderr,
                flush=True,
            )
