"""The wall clock of a process, which can be set while the process runs.

Owns the shift that everything in Python sees that asks for the time of day. Monotonic time goes on as ever,
as it does where the clock of a machine is set.
"""

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager


class WallClock:
    """Right until it jumps; for the length of `installed` it is everybody's."""

    def __init__(self) -> None:
        self.shift_s = 0.0

    def jump(self, by_s: float) -> None:
        """Go wrong by so much more."""
        self.shift_s += by_s

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let this process go by it."""
        real_time, real_datetime = time.time, datetime.datetime

        def shifted_time() -> float:
            return real_time() + self.shift_s

        class ShiftedDatetime(real_datetime):  # type: ignore[misc, valid-type]
            @classmethod
            def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
                return cls.fromtimestamp(shifted_time(), tz)

        time.time, datetime.datetime = shifted_time, ShiftedDatetime  # type: ignore[misc]
        try:
            yield
        finally:
            time.time, datetime.datetime = real_time, real_datetime  # type: ignore[misc]
