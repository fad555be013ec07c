"""Whether a worker process is well, and whether it is ready.

Owns the two answers and their reasons. Knows nothing of HTTP, and asks neither Redis nor the device:
it looks at what they last did.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from worker.batch_worker import BatchWorker
from worker.canary import Canary
from worker.contract import PRESENCE_TTL_S

REDIS_SILENCE_S = float(PRESENCE_TTL_S)


@dataclass
class Health:
    """What is known so far; the parts come as the process starts."""

    canary: Canary | None = None
    worker: BatchWorker | None = None
    redis_answered_s: float = float("-inf")
    clock: Callable[[], float] = time.monotonic

    def redis_answered(self) -> None:
        """Redis has just taken a sign of life."""
        self.redis_answered_s = self.clock()

    def illness(self) -> str | None:
        """Why the process should be ended and started again; None if it is well, or still loading."""
        return None if self.worker is None else self.worker.leases.fault()

    def hindrance(self) -> str | None:
        """Why no job should be expected to be done now; None if the worker is ready."""
        if self.canary is None or self.worker is None:
            return "the weights are being loaded"
        if not self.canary.passed:
            return "the canary failed"
        if self.worker.is_leaving:
            return "told to stop"
        silence_s = self.clock() - self.redis_answered_s
        if silence_s > REDIS_SILENCE_S:
            return "Redis has not answered yet" if silence_s == float("inf") else "Redis does not answer"
        return self.illness()
