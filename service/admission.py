"""The one step in which a job is let in: known already, too many, or queued.

Owns the script that decides so in one piece, however many API processes ask. Knows nothing of HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from redis import asyncio as aioredis
from redis.commands.core import AsyncScript

from service.members import MOST_MEMBERS, member_name
from telemetry.traces import CURRENT
from worker.contract import (
    CANCEL_FIELD,
    DIGEST_FIELD,
    HELD_BYTES_KEY,
    HELD_KEY,
    IMAGES_FIELD,
    PASSES_FIELD,
    QUEUES_KEY,
    TRACE_FIELD,
    input_key,
    job_key,
    members_key,
)

# Twice what one request may take, and more.
DEFAULT_MAX_QUEUED_PASSES = 8192
# Without a worker: there are never more of them than a queue takes.
LONGEST_QUEUED_S = 24 * 3600

# KEYS: job, queue, set of queues, key of the same request, idempotency key, held results, their bytes, its input.
# ARGV: job id, images, most images queued, most bytes held, seconds a result is kept, request's digest, 1 if there is
#       an idempotency key, prefix of jobs, field of images, field of cancellation, prefix of members, field of passes,
#       passes, most passes queued, name of the member, most members, its input or none, seconds a job may
#       wait, field of the digest, fields of the job...
ADMIT = """
local function wanted(id)
  local status = redis.call('HGET', ARGV[8] .. id, 'status')
  return status and status ~= 'canceled' and status ~= 'stopped' and
    (status ~= 'started' or redis.call('HEXISTS', ARGV[8] .. id, ARGV[10]) == 0)
end
local function join(verdict, id)
  local status, members, name = redis.call('HGET', ARGV[8] .. id, 'status'), ARGV[11] .. id, '+' .. ARGV[15]
  if status ~= 'queued' and status ~= 'started' then return end
  local is_old = verdict == 'known' and redis.call('EXISTS', members) == 0
  local is_full = redis.call('HLEN', members) >= tonumber(ARGV[16]) and redis.call('HEXISTS', members, name) == 0
  if is_old or is_full then redis.call('HSET', members, '*', '') else redis.call('HSET', members, name, ARGV[1]) end
  redis.call('EXPIRE', members, ARGV[18])
end
local function answer(verdict, id)
  if ARGV[7] == '1' then
    redis.call('HSET', KEYS[5], 'job', id, 'digest', ARGV[6])
    redis.call('EXPIRE', KEYS[5], ARGV[5])
  end
  join(verdict, id)
  return {verdict, id}
end
if ARGV[7] == '1' and redis.call('EXISTS', KEYS[5]) == 1 then
  local known = redis.call('HMGET', KEYS[5], 'job', 'digest')
  if known[2] ~= ARGV[6] then return {'conflict', known[1]} end
  if wanted(known[1]) then return answer('known', known[1]) end
end
local same = redis.call('GET', KEYS[4])
if same and wanted(same) and redis.call('HGET', ARGV[8] .. same, 'status') ~= 'failed' then
  return answer('known', same)
end
local queued, passes = 0, 0
for _, id in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  local found = redis.call('HMGET', ARGV[8] .. id, ARGV[9], ARGV[12], ARGV[19], 'status')
  if found[3] == ARGV[6] and found[4] == 'queued' then
    redis.call('SET', KEYS[4], id, 'EX', ARGV[5])
    return answer('known', id)
  end
  queued, passes = queued + tonumber(found[1] or 1), passes + tonumber(found[2] or 0)
end
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', redis.call('TIME')[1])) do
  redis.call('ZREM', KEYS[6], entry)
  redis.call('DECRBY', KEYS[7], string.match(entry, ':(%d+)$'))
end
if tonumber(redis.call('GET', KEYS[7]) or 0) >= tonumber(ARGV[4]) then return {'held', ''} end
local is_full = queued + tonumber(ARGV[2]) > tonumber(ARGV[3])
if is_full or passes + tonumber(ARGV[13]) > tonumber(ARGV[14]) then
  return {is_full and 'full' or 'dear', tostring(queued), passes}
end
if ARGV[17] ~= '' then redis.call('SET', KEYS[8], ARGV[17], 'EX', ARGV[18]) end
redis.call('HSET', KEYS[1], ARGV[9], ARGV[2], ARGV[19], ARGV[6], unpack(ARGV, 20))
if ARGV[13] ~= '0' then redis.call('HSET', KEYS[1], ARGV[12], ARGV[13]) end
redis.call('EXPIRE', KEYS[1], ARGV[18])
redis.call('SADD', KEYS[3], KEYS[2])
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('SET', KEYS[4], ARGV[1], 'EX', ARGV[5])
return answer('queued', ARGV[1])
"""


class Verdict(StrEnum):
    """What became of a job at the door."""

    QUEUED = "queued"
    KNOWN = "known"
    CONFLICT = "conflict"
    FULL = "full"
    DEAR = "dear"
    HELD = "held"


@dataclass(frozen=True)
class Weight:
    """What a job is to its queue: images that it is about, and forward passes, 0 for what is no scoring."""

    images: int
    passes: int = 0


@dataclass(frozen=True)
class Candidate:
    """A job that asks to be let in.

    Attributes:
        job_id: Its own.
        fields: Of its hash, names and values in turn.
        weight: What it is to its queue.
        digest: Of its request: equal ones are one job.
        content: The bytes that it is about, where there are any; kept only if it is let in.
    """

    job_id: str
    fields: Sequence[str | bytes]
    weight: Weight
    digest: str
    content: bytes | None = None


@dataclass(frozen=True)
class Limits:
    """What is let in: images, and forward passes of scorings, waiting in a queue; bytes and seconds of what is kept."""

    max_queued: int
    max_held_bytes: int
    result_ttl_s: int
    max_queued_passes: int = DEFAULT_MAX_QUEUED_PASSES

    @property
    def queued_ttl_s(self) -> int:
        """Seconds that a job may wait for a worker: no setting of how long results are kept may end it unseen."""
        return max(LONGEST_QUEUED_S, self.result_ttl_s)


@dataclass(frozen=True)
class Admitted:
    """The verdict, and what it is about: the job there is now, or the images that were queued, and their passes."""

    verdict: Verdict
    about: str
    passes: int = 0


@dataclass(frozen=True)
class Admission:
    """The door of all queues."""

    connection: aioredis.Redis
    limits: Limits

    @cached_property
    def _script(self) -> AsyncScript:
        return self.connection.register_script(ADMIT)

    async def admit(self, queue: str, candidate: Candidate, idempotency_key: str | None) -> Admitted:
        """Put a job into the list `queue`.

        Unless the same request is there already, is on its way, or there is no room; then nothing of it is written.
        A job that was cancelled is no answer: the same request is queued anew. So is one that failed, but not
        under the idempotency key that it failed under. Whoever is let in is one of those who want the job, all tries
        under one key one, until `Cancellation.leave`. To admit a candidate again changes nothing.
        """
        keys = [
            job_key(candidate.job_id),
            queue,
            QUEUES_KEY,
            f"tarflow:same:{candidate.digest}",
            f"tarflow:idempotency:{idempotency_key or ''}",
            HELD_KEY,
            HELD_BYTES_KEY,
            input_key(candidate.job_id),
        ]
        limits = self.limits
        weight, bounds = candidate.weight, (limits.max_queued, limits.max_held_bytes, limits.result_ttl_s)
        names = (job_key(""), IMAGES_FIELD, CANCEL_FIELD, members_key(""))
        known = (candidate.job_id, weight.images, *bounds, candidate.digest, int(idempotency_key is not None))
        passes = (PASSES_FIELD, weight.passes, limits.max_queued_passes)
        member = (member_name(idempotency_key, candidate.job_id), MOST_MEMBERS)
        waiting = (limits.queued_ttl_s, DIGEST_FIELD)
        args = [*known, *names, *passes, *member, candidate.content or b"", *waiting, *candidate.fields, *_trace()]
        verdict, about, *beside = await self._script(keys=keys, args=args)
        return Admitted(Verdict(verdict.decode()), about.decode(), *beside)


def _trace() -> tuple[str, ...]:
    """The field that makes a job part of the trace of the request that queues it."""
    trace = CURRENT.get()
    return () if trace is None else (TRACE_FIELD, trace.traceparent)
