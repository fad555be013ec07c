"""What passes between a running batch and those who wait for it.

Owns the progress of jobs, the pictures on their way, and the news that a job is to be cancelled. Knows
nothing of what runs.
"""

import base64
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis import Redis
from redis.exceptions import RedisError

from worker.contract import (
    CANCEL_FIELD,
    EVENTS_LENGTH,
    EVENTS_TTL_S,
    NEWS_LENGTH,
    NEWS_STREAM,
    NEWS_TTL_S,
    PREVIEW_FIELD,
    PROGRESS_FIELD,
    JobEvent,
    events_key,
    job_key,
)
from worker.news import tell
from worker.painter import Passage
from worker.passes import Share
from worker.served_job import ServedJob

# Notes on every job how far it is, and tells of it, unless it is to be cancelled, has left its batch, or is gone: what
# is written on that would be all there is of it, and stay for ever.
# KEYS: stream of news. ARGV: prefix of jobs, of events, fields of progress, cancellation and previews, length and TTL
# of events and of the news, then of each job its id, and its progress as noted and as told, empty if it has left.
# Answers for each job: 0 = nothing, 1 = it is to be cancelled, 2 = previews are wanted.
NOTE = """
local wishes = {}
for i = 10, #ARGV, 3 do
  local job, events, wish = ARGV[1] .. ARGV[i], ARGV[2] .. ARGV[i], 0
  local cancelled, preview = unpack(redis.call('HMGET', job, ARGV[4], ARGV[5]))
  if cancelled then wish = 1
  elseif ARGV[i + 1] ~= '' and redis.call('EXISTS', job) == 1 then
    if preview then wish = 2 end
    redis.call('HSET', job, ARGV[3], ARGV[i + 1])
    redis.call('XADD', events, 'MAXLEN', '~', ARGV[6], '*', 'event', 'progress', 'data', ARGV[i + 2])
    redis.call('EXPIRE', events, ARGV[7])
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[8], '*', 'job_id', ARGV[i], 'event', 'progress')
  end
  wishes[#wishes + 1] = wish
end
redis.call('EXPIRE', KEYS[1], ARGV[9])
return wishes
"""
CANCEL, PREVIEW = 1, 2

log = logging.getLogger(__name__)


def note_shares(connection: Redis, jobs: Sequence[ServedJob], shares: Sequence[Share | None]) -> list[int]:
    """Note and tell how far each job is, None = it has left its batch; what is wished of each: 0, CANCEL or PREVIEW."""
    fields = (job_key(""), events_key(""), PROGRESS_FIELD, CANCEL_FIELD, PREVIEW_FIELD)
    limits = (EVENTS_LENGTH, EVENTS_TTL_S, NEWS_LENGTH, NEWS_TTL_S)
    told = [each for job, share in zip(jobs, shares, strict=True) for each in (job.id, *_told(share))]
    wishes: list[int] = connection.register_script(NOTE)(keys=[NEWS_STREAM], args=(*fields, *limits, *told))
    return wishes


def _told(share: Share | None) -> tuple[str, str]:
    """Progress as noted and as told."""
    if share is None:
        return "", ""
    told = {"done": share.done, "steps": share.steps, "progress": share.done / share.steps}
    return f"{share.done}/{share.steps}", json.dumps(told)


@dataclass
class Observer:
    """Looks after the jobs of one batch, in its order.

    Attributes:
        connection: Redis.
        jobs: The jobs.
        draw: Makes a PNG of a job's images (n, C, H, W).
        undone: Images, and parts of them, that are not painted, for they are of jobs that were cancelled.
    """

    connection: Redis
    jobs: Sequence[ServedJob]
    draw: Callable[[Passage, int], bytes]
    undone: float = 0.0

    def __call__(self, passage: Passage) -> frozenset[int]:
        """Note that a flow block is done; which of the jobs are to be cancelled."""
        try:
            return self._note(passage)
        except RedisError as error:  # Not worth a batch: the commit looks again.
            log.warning("progress not noted: %s", error)
            return frozenset()

    def _note(self, passage: Passage) -> frozenset[int]:
        share = Share(passage.done, passage.blocks)
        shares = [share if passage.has(index) else None for index in range(len(self.jobs))]
        wishes = note_shares(self.connection, self.jobs, shares)
        with self.connection.pipeline() as pipeline:
            for index in (index for index, wish in enumerate(wishes) if wish == PREVIEW):
                content = base64.b64encode(self.draw(passage, index)).decode()
                tell(pipeline, self.jobs[index].id, JobEvent.PREVIEW, {"done": passage.done, "png_base64": content})
            pipeline.execute()
        cancelled = frozenset(index for index, wish in enumerate(wishes) if wish == CANCEL)
        leaving = sum(int(owner) in cancelled for owner in passage.owner)
        self.undone += leaving * (1 - passage.done / passage.blocks)
        return cancelled
