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
from worker.served_job import ServedJob

# Notes on every job how far it is, and tells of it, unless it is to be cancelled or has left its batch.
# KEYS: stream of news. ARGV: progress as noted, as told, prefix of jobs, of events, fields of progress, cancellation
# and previews, length and TTL of events and of the news, then each job's id and 1 if it is still in the batch.
# Answers for each job: 0 = nothing, 1 = it is to be cancelled, 2 = previews are wanted.
NOTE = """
local wishes = {}
for i = 12, #ARGV, 2 do
  local job, events, wish = ARGV[3] .. ARGV[i], ARGV[4] .. ARGV[i], 0
  local cancelled, preview = unpack(redis.call('HMGET', job, ARGV[6], ARGV[7]))
  if cancelled then wish = 1
  elseif ARGV[i + 1] == '1' then
    if preview then wish = 2 end
    redis.call('HSET', job, ARGV[5], ARGV[1])
    redis.call('XADD', events, 'MAXLEN', '~', ARGV[8], '*', 'event', 'progress', 'data', ARGV[2])
    redis.call('EXPIRE', events, ARGV[9])
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[10], '*', 'job_id', ARGV[i], 'event', 'progress')
  end
  wishes[#wishes + 1] = wish
end
redis.call('EXPIRE', KEYS[1], ARGV[11])
return wishes
"""
CANCEL, PREVIEW = 1, 2

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
        share = {"done": passage.done, "steps": passage.blocks, "progress": passage.done / passage.blocks}
        fields = (job_key(""), events_key(""), PROGRESS_FIELD, CANCEL_FIELD, PREVIEW_FIELD)
        limits = (EVENTS_LENGTH, EVENTS_TTL_S, NEWS_LENGTH, NEWS_TTL_S)
        jobs = [each for index, job in enumerate(self.jobs) for each in (job.id, int(passage.has(index)))]
        note = self.connection.register_script(NOTE)
        args = (f"{passage.done}/{passage.blocks}", json.dumps(share), *fields, *limits, *jobs)
        wishes = note(keys=[NEWS_STREAM], args=args)
        with self.connection.pipeline() as pipeline:
            for index in (index for index, wish in enumerate(wishes) if wish == PREVIEW):
                content = base64.b64encode(self.draw(passage, index)).decode()
                tell(pipeline, self.jobs[index].id, JobEvent.PREVIEW, {"done": passage.done, "png_base64": content})
            pipeline.execute()
        return frozenset(index for index, wish in enumerate(wishes) if wish == CANCEL)
