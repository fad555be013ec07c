"""The end of a job before its time.

Owns the script for who wants a job no longer: the last of them ends it. Knows nothing of HTTP.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from redis import asyncio as aioredis

from service.members import MOST_MEMBERS, Leaver
from worker.contract import (
    CANCEL_FIELD,
    ENDED_EVENTS_TTL_S,
    NEWS_LENGTH,
    NEWS_STREAM,
    NEWS_TTL_S,
    events_key,
    input_key,
    job_key,
    members_key,
)

# KEYS: job, its queue, the stream of news, its members, the job's events, its pixels.
# ARGV: job id, field, now, seconds kept, length and TTL of the news, TTL of the events of an ended job, who it is by
#       name, the request whose connection is gone or none, its client, most members.
LEAVE = """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'canceled' or status == 'stopped' then return 'before' end
if status ~= 'queued' and status ~= 'started' then return 'ended' end
local name, request, client = ARGV[8], ARGV[9], ARGV[10]
local function words()
  local found, flat = {}, redis.call('HGETALL', KEYS[4])
  for index = 1, #flat, 2 do found[flat[index]] = flat[index + 1] end
  return found
end
local function told(word) return string.sub(word, 1, 1) == '-' end
local function spend()
  for word, by in pairs(words()) do
    if told(word) and by == client then return redis.call('HSET', KEYS[4], word, '') end
  end
end
if redis.call('HEXISTS', KEYS[4], '*') == 1 then return 'awaited' end
local asked = redis.call('HGET', KEYS[4], '+' .. name)
-- A word under a key that nobody asked under is its client's: one who draws keys has no more words than another.
if request == '' and not asked and redis.call('HEXISTS', KEYS[4], '-' .. name) == 0 then name = client end
if asked and (request == '' or asked == request) then
  redis.call('HDEL', KEYS[4], '+' .. name)
  if name ~= request then redis.call('HSETNX', KEYS[4], '-' .. name, '') end
  spend()
  if request == '' then redis.call('HSETNX', KEYS[4], '-' .. client, '') end
elseif request == '' and redis.call('HLEN', KEYS[4]) < tonumber(ARGV[11]) then
  redis.call('HSETNX', KEYS[4], '-' .. name, client)
end
if redis.call('TTL', KEYS[4]) < 0 then redis.call('EXPIRE', KEYS[4], ARGV[4]) end
local wanted = 0
for word, by in pairs(words()) do
  if not told(word) then wanted = wanted + 1 elseif by ~= '' then wanted = wanted - 1 end
end
if wanted > 0 then return 'awaited' end
if status == 'queued' then
  redis.call('LREM', KEYS[2], 1, ARGV[1])
  redis.call('HSET', KEYS[1], 'status', 'canceled', 'ended_at', ARGV[3])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  redis.call('XADD', KEYS[5], '*', 'event', 'done', 'data', '{"state": "cancelled"}')
  redis.call('EXPIRE', KEYS[5], ARGV[7])
  redis.call('DEL', KEYS[4], KEYS[6])
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[5], '*', 'job_id', ARGV[1], 'event', 'done')
  redis.call('EXPIRE', KEYS[3], ARGV[6])
  return 'cancelled'
end
redis.call('HSET', KEYS[1], ARGV[2], 1)
return 'requested'
"""


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

    async def leave(self, job_id: str, queue_key: str, leaver: Leaver) -> Cancelled:
        """Somebody said so or hung up; if nobody else wants the job, a queued one ends now, a running one soon.

        Either counts once, however often it is told: a connection that is gone takes away its own request alone, and
        only if none under its key has come since; a word takes that of its key, else any one. A client that says so
        and then hangs up is one, and so is one that says so with a key and without, or under keys that it draws.
        """
        keys = [job_key(job_id), queue_key, NEWS_STREAM, members_key(job_id), events_key(job_id), input_key(job_id)]
        ended_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        kept = (self.result_ttl_s, NEWS_LENGTH, NEWS_TTL_S, ENDED_EVENTS_TTL_S)
        who = (leaver.name, leaver.request_id or "", leaver.client, MOST_MEMBERS)
        args: list[str | int] = [job_id, CANCEL_FIELD, ended_at, *kept, *who]
        outcome = await self.connection.register_script(LEAVE)(keys=keys, args=args)
        return Cancelled(outcome.decode())
