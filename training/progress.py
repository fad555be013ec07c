"""How far long work is: a bar on a terminal where tqdm is installed, plain lines elsewhere.

Owns how often it prints. Knows nothing of the work.
"""

import sys
import time
from typing import Any

LINE_INTERVAL_S = 30.0


class Progress:
    """Progress of `total` units of work, `done` of them before this process began."""

    def __init__(self, title: str, total: int, done: int = 0, enabled: bool = True) -> None:
        self.title, self.total, self.done, self.enabled = title, total, done, enabled
        self._printed_s = float("-inf")
        self._bar = _bar(title, total, done) if enabled and sys.stderr.isatty() else None

    def advance(self, units: int = 1, note: str = "") -> None:
        """Say that `units` more are done; the last one always prints."""
        self.done += units
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(units)
            if self.done >= self.total:
                self._bar.close()
        elif self.enabled and (self.done >= self.total or time.monotonic() - self._printed_s >= LINE_INTERVAL_S):
            self._printed_s = time.monotonic()
            print(f"{self.title} {self.done}/{self.total} {note}", file=sys.stderr, flush=True)


def _bar(title: str, total: int, done: int) -> Any | None:
    """A bar of tqdm's; None where it is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(desc=title, total=total, initial=done, dynamic_ncols=True)
