"""What happens between two chunks of a batch's passes: lesser jobs are let by, progress is told, cancellations heard.

Owns the account of the time and of the passes that the batch did not take. Knows nothing of flows.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from worker.observer import CANCEL, note_shares
from worker.passes import Share
from worker.served_job import ServedJob

log = logging.getLogger(__name__)


@dataclass
class ScoreWatch:
    """Looks after the jobs of one batch, in its order.

    Attributes:
        connection: Redis.
        jobs: The jobs.
        meanwhile: Lets lesser jobs by; it takes its time.
        away_s: Seconds that it took in all.
        undone: Passes that are not made, for they are of jobs that were cancelled.
    """

    connection: Redis
    jobs: Sequence[ServedJob]
    meanwhile: Callable[[], None]
    away_s: float = 0.0
    undone: int = 0

    def __call__(self, shares: Sequence[Share | None]) -> frozenset[int]:
        """Note that a chunk is done; which of the jobs are to be cancelled."""
        began_s = time.perf_counter()
        self.meanwhile()
        self.away_s += time.perf_counter() - began_s
        try:
            wishes = note_shares(self.connection, self.jobs, shares)
        except RedisError as error:  # Not worth a batch: the commit looks again.
            log.warning("progress not noted: %s", error)
            return frozenset()
        cancelled = {
            index: share for index, share in enumerate(shares) if share is not None and wishes[index] == CANCEL
        }
        self.undone += sum(share.steps - share.done for share in cancelled.values())
        return frozenset(cancelled)
