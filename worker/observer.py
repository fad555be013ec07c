"""What passes between a running batch and those who wait for it.

Owns the progress of jobs, the pictures on their way, and the news that a job is to be cancelled. Knows
nothing of what runs.
"""

import base64
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from worker.contract import CANCEL_FIELD, PREVIEW_FIELD, PROGRESS_FIELD, JobEvent
from worker.news import tell
from worker.painter import Passage
from worker.served_job import ServedJob

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Observer:
    """Looks after the jobs of one batch, in its order; `draw` makes a PNG of a job's images (n, C, H, W)."""

    connection: Redis
    jobs: Sequence[ServedJob]
    draw: Callable[[Passage, int], bytes]

    def __call__(self, passage: Passage) -> frozenset[int]:
        """Note that a flow block is done; which of the jobs are to be cancelled."""
        try:
            return self._note(passage)
        except RedisError as error:  # Not worth a batch: the commit looks again.
            log.warning("progress not noted: %s", error)
            return frozenset()

    def _note(self, passage: Passage) -> frozenset[int]:
        with self.connection.pipeline(transaction=False) as pipeline:
            for job in self.jobs:
                pipeline.hmget(job.key, CANCEL_FIELD, PREVIEW_FIELD)
            wishes = pipeline.execute()
        leaving = frozenset(index for index, (cancel, _) in enumerate(wishes) if cancel is not None)
        share = {"done": passage.done, "steps": passage.blocks, "progress": passage.done / passage.blocks}
        with self.connection.pipeline() as pipeline:
            for index, (job, (_, preview)) in enumerate(zip(self.jobs, wishes, strict=True)):
                if index in leaving or not passage.has(index):
                    continue
                pipeline.hset(job.key, PROGRESS_FIELD, f"{passage.done}/{passage.blocks}")
                tell(pipeline, job.id, JobEvent.PROGRESS, share)
                if preview is not None:
                    content = base64.b64encode(self.draw(passage, index)).decode()
                    tell(pipeline, job.id, JobEvent.PREVIEW, {"done": passage.done, "png_base64": content})
            pipeline.execute()
        return leaving
