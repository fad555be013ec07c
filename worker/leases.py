"""The right to a job, kept up while it runs.

Owns the thread that renews the leases of what this process runs, and that ends the process when a
batch is stuck beyond its deadline. Knows nothing of what runs.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from redis import Redis
from redis.exceptions import RedisError

from worker.contract import LEASE_S
from worker.intake import Batch

RENEWAL_S = LEASE_S / 3
# Past its deadline a batch has had the timeout's exception; what does not heed it cannot be interrupted.
GRACE_S = 5.0
STUCK_STATUS = 70
# A thread that waits for a Redis that is gone is not waited for.
JOIN_S = 2.0

log = logging.getLogger(__name__)


@dataclass
class Leases:
    """What this process runs at the moment."""

    connection: Redis
    upkeep: Callable[[], None]
    batch: Batch | None = None
    deadline_s: float = float("inf")
    _ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def held(self, batch: Batch, timeout_s: float) -> Iterator[None]:
        """Renew the leases of a batch while the block lasts; end the process if it lasts too long."""
        self.deadline_s, self.batch = time.monotonic() + timeout_s, batch
        try:
            yield
        finally:
            self.batch, self.deadline_s = None, float("inf")

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """Run the thread while the block lasts; it does the `upkeep` too."""
        thread = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(JOIN_S)

    def _renew_for_ever(self) -> None:
        while not self._ended.wait(RENEWAL_S):
            if time.monotonic() > self.deadline_s + GRACE_S:
                log.critical("a batch is stuck %.0f s past its deadline; ending this process", GRACE_S)
                os._exit(STUCK_STATUS)
            try:
                self._renew()
                self.upkeep()
            except RedisError as error:
                log.warning("leases not renewed, trying again: %s", error)

    def _renew(self) -> None:
        batch = self.batch
        if batch is None:
            return
        with self.connection.pipeline() as pipeline:
            for job, execution in zip(batch.jobs, batch.executions, strict=True):
                execution.heartbeat(job.started_job_registry, LEASE_S, pipeline=pipeline)
            pipeline.execute()
