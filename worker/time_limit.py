"""The alarm that ends what runs too long, stopped while something else runs.

Owns the clock of the process's one alarm. Knows nothing of what runs.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def alarm_paused() -> Iterator[None]:
    """Stop the alarm that is set, if one is, while the block lasts; the block may set others."""
    handler = signal.getsignal(signal.SIGALRM)
    left_s, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, left_s)
