"""The end of a job before its time.

Owns the script for who wants a job no longer: the last of them ends it. Knows nothing of HTTP.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from redis import asyncio as aioredis

from worker.contract import (
    CANCEL_FIELD,
    ENDED_EVENTS_TTL_S,
    NEWS_LENGTH,
    NEWS_STREAM,
    NEWS_TTL_S,
    events_key,
    input_key,
    job_key,
)

# KEYS: job, its queue, the stream of news, waiters, the job's events, its pixels, those who said so.
# ARGV: job id, field, now, seconds kept, length and TTL of the news, TTL of the events of an ended job, who says so.
LEAVE = """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'canceled' or status == 'stopped' then return 'before' end
if status ~= 'queued' and status ~= 'started' then return 'ended' end
local again = ARGV[8] ~= '' and redis.call('SADD', KEYS[7], ARGV[8]) == 0
if ARGV[8] ~= '' then redis.call('EXPIRE', KEYS[7], ARGV[4]) end
local is_awaited = redis.call('EXISTS', KEYS[4]) == 1
if is_awaited and tonumber(redis.call(again and 'GET' or 'DECR', KEYS[4])) > 0 then return 'awaited' end
if status == 'queued' then
  redis.call('LREM', KEYS[2], 1, ARGV[1])
  redis.call('HSET', KEYS[1], 'status', 'canceled', 'ended_at', ARGV[3])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('XADD', KEYS[5], '*', 'event', 'done', 'data', '{"state": "cancelled"}')
  redis.call('EXPIRE', KEYS[5], ARGV[7])
  redis.call('DEL', KEYS[6])
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'job_id', ARGV[1], 'event', 'done')
  redis.call('EXPIRE', KEYS[3], ARGV[6])
  return 'cancelled'
end
redis.call('HSET', KEYS[1], ARGV[2], 1)
return 'requested'
"""
WAITERS_PREFIX = "tarflow:waiters:"
LEAVERS_PREFIX = "tarflow:leavers:"


class Cancelled(StrEnum):
    """What a wish to end a job came to: done, done before, passed on to its worker, too late, or others wait for it."""

    CANCELLED = "cancelled"
    BEFORE = "before"
    REQUESTED = "requested"
    ENDED = "ended"
    AWAITED = "awaited"


@dataclass(frozen=True)
class Cancellation:
    """Ends jobs, and tells when nobody waits for one any more."""

    connection: aioredis.Redis
    result_ttl_s: int

    async def leave(self, job_id: str, queue_key: str, who: str | None = None) -> Cancelled:
        """Somebody said so or hung up; if nobody else wants the job, a queued one ends now, a running one soon.

        Whoever is named counts once for a job, however often it is said; a connection that is gone has no name.
        """
        waiters, events, pixels = WAITERS_PREFIX + job_id, events_key(job_id), input_key(job_id)
        keys = [job_key(job_id), queue_key, NEWS_STREAM, waiters, events, pixels, LEAVERS_PREFIX + job_id]
        ended_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        kept = (self.result_ttl_s, NEWS_LENGTH, NEWS_TTL_S, ENDED_EVENTS_TTL_S)
        args: list[str | int] = [job_id, CANCEL_FIELD, ended_at, *kept, who or ""]
        outcome = await self.connection.register_script(LEAVE)(keys=keys, args=args)
        return Cancelled(outcome.decode())
