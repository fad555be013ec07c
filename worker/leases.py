"""The right to a job, kept up while it runs.

Owns the threads that renew the leases of what this process runs, and that end the process when a
batch is stuck beyond its deadline. Knows nothing of what runs.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from redis import Redis
from redis.exceptions import RedisError

from worker.contract import LEASE_S
from worker.intake import Batch
from worker.outage import leave
from worker.time_limit import alarm_paused

RENEWAL_S = LEASE_S / 3
# After a failure: a Redis that was away is back at any moment, and the leases are short by then.
RETRY_S = 1.0
# Past its deadline a batch has had the timeout's exception; what does not heed it cannot be interrupted.
GRACE_S = 5.0
WATCH_S = 1.0
STUCK_STATUS = 70
# A thread that waits for a Redis that is gone is not waited for.
JOIN_S = 2.0

log = logging.getLogger(__name__)


@dataclass
class Leases:
    """What this process runs at the moment."""

    connection: Redis
    upkeep: Callable[[], None]
    batches: tuple[Batch, ...] = ()
    deadline_s: float = float("inf")
    threads: Sequence[threading.Thread] = ()
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def held(self, batch: Batch) -> Iterator[None]:
        """Renew the leases of a batch while the block lasts, beside those of one that waits for it."""
        before = self.batches
        self.batches = (*before, batch)
        try:
            yield
        finally:
            self.batches, self.deadline_s = before, float("inf")

    def allow(self, timeout_s: float) -> None:
        """Let what runs now take so long, before the process is ended."""
        self.deadline_s = time.monotonic() + timeout_s

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock of what runs while the block lasts: something else runs meanwhile, on a clock of its own."""
        left_s = self.deadline_s - time.monotonic()
        self.deadline_s = float("inf")
        try:
            with alarm_paused():
                yield
        finally:
            self.deadline_s = time.monotonic() + left_s

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Renew, and watch the deadline, while the block lasts; the `upkeep` is done in passing."""
        works = (self._renew_for_ever, self._watch_for_ever)
        self.threads = [threading.Thread(target=work, name=work.__name__, daemon=True) for work in works]
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in self.threads:
                thread.join(JOIN_S)

    def fault(self) -> str | None:
        """What is wrong with the process beyond mending; None if nothing is."""
        if any(not thread.is_alive() for thread in self.threads) and not self._ended.is_set():
            return "a thread that keeps the leases has died"
        return "a batch is stuck past its deadline" if time.monotonic() > self.deadline_s + GRACE_S else None

    def _watch_for_ever(self) -> None:
        # A thread of its own, which no Redis can hold up.
        while not self._ended.wait(WATCH_S):
            if time.monotonic() > self.deadline_s + GRACE_S:
                log.critical("a batch is stuck %.0f s past its deadline; ending this process", GRACE_S)
                os._exit(STUCK_STATUS)

    def _renew_for_ever(self) -> None:
        pause_s = RENEWAL_S
        while not self._ended.wait(pause_s):
            pause_s = RETRY_S
            try:
                self._renew()
                self.upkeep()
                pause_s = RENEWAL_S
            except RedisError as error:
                log.warning("leases not renewed, trying again: %s", error)
                leave(self.connection)
            except Exception:  # Whatever it is, the leases must be renewed.
                log.exception("leases perhaps not renewed, trying again")

    def _renew(self) -> None:
        batches = self.batches
        if not batches:
            return
        with self.connection.pipeline() as pipeline:
            for batch in batches:
                for job, execution in zip(batch.jobs, batch.executions, strict=True):
                    execution.heartbeat(job.started_job_registry, LEASE_S, pipeline=pipeline)
            pipeline.execute()
