"""Jobs as the service sees them: put in, looked at, taken out.

Owns the passage to Redis and its keys. Knows nothing of HTTP or of RQ's formats.
"""

import math
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from redis import asyncio as aioredis
from redis.commands.core import AsyncScript

from service.admission import Admission, Admitted, Candidate, Verdict, Weight
from service.cancellation import Cancellation, Cancelled
from service.errors import KeyReused, QueueFull, UnknownJob
from service.job_record import JobView, cost_of, kind_of, new_job_fields, passes_of, returned
from service.members import Leaver
from service.redis_clients import redis_needed
from worker.contract import (
    COST,
    PREVIEW_FIELD,
    Frozen,
    Kind,
    Request,
    canonical_digest,
    images_of,
    job_key,
    pace_key,
    pictures_key,
    queue_key,
    queue_name,
    results_key,
    workers_key,
)

# Seconds an image takes, or a pass of a scoring, until a worker has measured its own.
DEFAULT_PACE_S = {Kind.GENERATE: 2.0, Kind.SCORE: 0.02}
HELD_RETRY_AFTER_S = 60
JOB_ID = re.compile("[0-9a-f]{32}")

R = TypeVar("R", bound=Frozen)

SET_IF_THERE = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end"
# A job's hash; the jobs before it while it is queued and what they cost, none if it was just popped; pictures of it.
# KEYS: job, its pictures. ARGV: job id, prefix of queues, prefix of jobs, then names of pictures.
LOOK = (
    COST
    + """
local jobs, ahead, pictures = 0, 0, {}
local status, origin = unpack(redis.call('HMGET', KEYS[1], 'status', 'origin'))
if status == 'queued' then
  local before = 0
  for index, id in ipairs(redis.call('LRANGE', ARGV[2] .. origin, 0, -1)) do
    if id == ARGV[1] then jobs, ahead = index - 1, before break end
    before = before + cost(ARGV[3] .. id)
  end
end
if #ARGV > 3 then pictures = redis.call('HMGET', KEYS[2], unpack(ARGV, 4)) end
return {redis.call('HGETALL', KEYS[1]), jobs, ahead, pictures}
"""
)


@dataclass(frozen=True)
class JobQueue:
    """The queues behind one Redis."""

    connection: aioredis.Redis
    admission: Admission
    cancellation: Cancellation
    job_timeout_s: int

    async def submit(
        self,
        request: Request,
        job_id: str,
        pixels: bytes | None = None,
        idempotency_key: str | None = None,
        previews: bool = False,
    ) -> str:
        """Queue a request under an id of `new_job_id`; the id of the job that will answer it, perhaps an older one.

        With `previews` the pictures on their way are told of before anybody listens.

        Raises:
            QueueFull: There is no room.
            KeyReused: The idempotency key belongs to another request.
            RedisAway: It could not be queued.

        Who is refused leaves nothing behind.
        """
        kind, limits = kind_of(request), self.admission.limits
        fields = new_job_fields(job_id, request, self.job_timeout_s, limits.queued_ttl_s, limits.result_ttl_s)
        if previews:
            fields += [PREVIEW_FIELD, "1"]
        weight = Weight(images_of(request), passes_of(request))
        candidate = Candidate(job_id, fields, weight, canonical_digest(request), pixels)
        with redis_needed():
            admitted = await self.admission.admit(
                queue_key(queue_name(kind, request.model)), candidate, idempotency_key
            )
        if admitted.verdict is Verdict.CONFLICT:
            raise KeyReused("Idempotency-Key: it was used for another request; use a new one")
        if admitted.verdict is Verdict.HELD:
            raise QueueFull("the results that are kept take all the room there is", retry_after_s=HELD_RETRY_AFTER_S)
        if admitted.verdict in (Verdict.FULL, Verdict.DEAR):
            raise await self._queue_full(admitted, kind, request.model)
        return admitted.about

    async def cancel(self, job_id: str, leaver: Leaver) -> Cancelled:
        """End a job before its time, unless others want it. Raises as `view`."""
        view = await self.view(job_id)
        return await self.leave(job_id, view.request, leaver)

    async def want_previews(self, job_id: str) -> None:
        """Let the pictures on their way be told of too, if there is such a job; raises RedisAway."""
        with redis_needed():
            # In one step, so that a job that expires meanwhile is not left behind as this one field.
            await self.connection.register_script(SET_IF_THERE)(keys=[job_key(job_id)], args=[PREVIEW_FIELD, 1])

    async def leave(self, job_id: str, request: Request, leaver: Leaver) -> Cancelled:
        """A client wants its job no longer; if nobody else does, it ends."""
        with redis_needed():
            return await self.cancellation.leave(job_id, queue_key(queue_name(kind_of(request), request.model)), leaver)

    async def view(self, job_id: str, pictures: Sequence[str] = ()) -> JobView:
        """A job's state, and PNGs of it that are there: images by their numbers, or the `sheet`.

        Raises:
            UnknownJob: There is no such job, or no longer.
            RedisAway: Redis does not answer.
        """
        if not JOB_ID.fullmatch(job_id):
            raise _unknown(job_id)
        with redis_needed():
            flat, jobs, ahead, found = await self._look(
                keys=[job_key(job_id), pictures_key(job_id)],
                args=[job_id, queue_key(""), job_key(""), *pictures],
            )
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        if b"data" not in fields:
            raise _unknown(job_id)
        return JobView.of(job_id, fields, jobs, ahead, tuple(each for each in found if each is not None))

    async def result(self, job_id: str, form: type[R]) -> R:
        """The result of a job that succeeded, of the form that its request gives; raises as `view`."""
        with redis_needed():
            entries: Any = await self.connection.xrevrange(results_key(job_id), count=1)
        if not entries:
            raise _unknown(job_id)
        return form.model_validate(returned(job_id, entries[0]))

    async def eta_s(self, view: JobView, workers: int) -> int:
        """Whole seconds until a job should have ended, by the pace of late and the queue ahead; at least 1."""
        cost = (view.cost_ahead or 0) + cost_of(view.request) * (1 - view.progress)
        return await self._seconds(view.kind, view.request.model, cost, workers)

    @cached_property
    def _look(self) -> AsyncScript:
        return self.connection.register_script(LOOK)

    async def _queue_full(self, admitted: Admitted, kind: Kind, model: str) -> QueueFull:
        """Why there is no room, and to come back when all that waits should be done."""
        limits = self.admission.limits
        waiting = f"{admitted.about} images wait already, at most {limits.max_queued} may"
        if admitted.verdict is Verdict.DEAR:
            waiting = f"{admitted.passes} forward passes wait already, at most {limits.max_queued_passes} may"
        cost = admitted.passes or int(admitted.about)
        return QueueFull(waiting, retry_after_s=await self._until_worked_off(kind, model, cost))

    async def _until_worked_off(self, kind: Kind, model: str, cost: int) -> int:
        """Seconds until what waits now should be done, so that those who are refused do not all come back."""
        with redis_needed():
            workers = await self.connection.zcard(workers_key(kind, model))
        return await self._seconds(kind, model, cost, workers)

    async def _seconds(self, kind: Kind, model: str, cost: float, workers: int) -> int:
        """Whole seconds that so many images, or passes of a scoring, take, by the pace of late; at least 1."""
        with redis_needed():
            pace = await self.connection.get(pace_key(kind, model))
        each_s = DEFAULT_PACE_S[kind] if pace is None else float(pace)
        return max(1, math.ceil(each_s * cost / max(1, workers)))


def new_job_id() -> str:
    """An id that nobody can guess."""
    return uuid.uuid4().hex


def _unknown(job_id: str) -> UnknownJob:
    return UnknownJob(f"there is no job {job_id[:64]!r}, or its result has expired")
