"""Where the queues stand: who works, how much waits, how fast it goes.

Owns the one look at Redis that tells so. Knows nothing of jobs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import asyncio as aioredis

from service.redis_clients import redis_needed
from worker.contract import (
    PRESENCE_TTL_S,
    Kind,
    device_key,
    done_key,
    pace_key,
    queue_key,
    queue_name,
    workers_key,
)

UNKNOWN_DEVICE = "unknown"

# By the clock of Redis. KEYS: workers, queue, running jobs, pace. ARGV: seconds that a sign of life lasts, how the
# names of devices begin, how those of the counts of images do. The last minute is the part of it that is under way,
# and the rest of it from the one before, as if that had been even.
LOOK = """
local now_s = tonumber(redis.call('TIME')[1])
local devices = {}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now_s - tonumber(ARGV[1]), '+inf')) do
  devices[#devices + 1] = redis.call('GET', ARGV[2] .. worker) or ''
end
local minute, share = math.floor(now_s / 60), (now_s % 60) / 60
local done = tonumber(redis.call('GET', ARGV[3] .. minute) or 0)
local before = tonumber(redis.call('GET', ARGV[3] .. (minute - 1)) or 0)
local pace = redis.call('GET', KEYS[4])
return {devices, redis.call('LLEN', KEYS[2]), redis.call('ZCARD', KEYS[3]), pace, tostring(done + before * (1 - share))}
"""


@dataclass(frozen=True)
class Standing:
    """One queue at one moment.

    Attributes:
        model: The model's name.
        kind: Of work.
        workers: That showed a sign of life lately.
        devices: How many of them compute on what.
        queued: Jobs that wait.
        running: Jobs being worked on.
        seconds_per_image: Of late, on average; None where nothing was done of late, and of scores.
        seconds_per_pass: The same of scores: of a forward pass, one image under one class or none.
        images_per_minute: Done in the last minute.
    """

    model: str
    kind: Kind
    workers: int
    devices: dict[str, int]
    queued: int
    running: int
    seconds_per_image: float | None
    seconds_per_pass: float | None
    images_per_minute: float


async def standings(connection: aioredis.Redis, models: Sequence[str]) -> list[Standing]:
    """Where every queue of these models stands; raises RedisAway."""
    look = connection.register_script(LOOK)
    found = []
    for model in models:
        for kind in Kind:
            name = queue_name(kind, model)
            keys = [workers_key(kind, model), queue_key(name), f"rq:wip:{name}", pace_key(kind, model)]
            with redis_needed():
                answer = await look(keys=keys, args=[PRESENCE_TTL_S, device_key(""), done_key(kind, model)])
            found.append(_standing(model, kind, answer))
    return found


def _standing(model: str, kind: Kind, answer: Any) -> Standing:
    devices, queued, running, pace, minute = answer
    each_s = None if pace is None else float(pace)
    return Standing(
        model=model,
        kind=kind,
        workers=len(devices),
        devices=dict(Counter(device.decode() or UNKNOWN_DEVICE for device in devices)),
        queued=queued,
        running=running,
        seconds_per_image=each_s if kind is Kind.GENERATE else None,
        seconds_per_pass=each_s if kind is Kind.SCORE else None,
        images_per_minute=round(float(minute), 1),
    )
