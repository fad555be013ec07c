"""What is told of a job, as server-sent events.

Owns their order, their replay and their end. Knows nothing of who made them.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi.sse import ServerSentEvent
from redis.exceptions import RedisError

from service.answers import job_body
from service.errors import BadHeader, ServiceError
from service.house import House
from worker.contract import JobEvent, JobState, events_key

# A place in the queue changes without news: it is told again so often while a job waits.
LOOK_AGAIN_S = 5.0
EVENT_ID = re.compile("[0-9]{1,18}(-[0-9]{1,18})?")


log = logging.getLogger(__name__)


def first_event_id(last_event_id: str | None) -> str:
    """From where to replay: after `Last-Event-ID`, or from the job's first event.

    Raises:
        BadHeader: It is none of ours.
    """
    if last_event_id is not None and not EVENT_ID.fullmatch(last_event_id):
        raise BadHeader(f"Last-Event-ID: {last_event_id[:50]!r} is no id of an event")
    return last_event_id or "0-0"


async def job_events(house: House, job_id: str, after: str) -> AsyncIterator[ServerSentEvent]:
    """Where the job is, then every event after `after`, to the last, which is `done`.

    If Redis goes away the stream ends without it: clients come back with the last id they have.
    """
    try:
        async for event in _events(house, job_id, after):
            yield event
    except (RedisError, ServiceError) as error:
        log.warning("events of job %s end early: %s", job_id, error)


async def _events(house: House, job_id: str, after: str) -> AsyncIterator[ServerSentEvent]:
    async with house.completions.watching(job_id) as listener:
        await house.queue.want_previews(job_id)
        told = None
        while True:
            listener.news.clear()
            # Looked at first, so that what is told meanwhile comes before an end of our own making.
            view = await house.queue.view(job_id)
            for event_id, event, data in await _since(house, job_id, after):
                after = event_id
                if event is JobEvent.STATUS:
                    data = {"position": None, "eta_s": None, **data}
                yield ServerSentEvent(event=event, data=data, id=event_id)
                if event is JobEvent.DONE:
                    return
            if view.state.is_terminal:  # Its events have expired, or were all told before.
                yield ServerSentEvent(event=JobEvent.DONE, data={"state": view.state})
                return
            if view.state is JobState.QUEUED:
                body = await job_body(house, view)
                status = {name: body[name] for name in ("state", "position", "eta_s")}
                if status != told:
                    told = status
                    yield ServerSentEvent(event=JobEvent.STATUS, data=status)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listener.news.wait(), LOOK_AGAIN_S)


async def _since(house: House, job_id: str, after: str) -> list[tuple[str, JobEvent, Any]]:
    entries: Any = await house.clients.loop.xrange(events_key(job_id), min=f"({after}")
    return [
        (entry_id.decode(), JobEvent(fields[b"event"].decode()), json.loads(fields[b"data"]))
        for entry_id, fields in entries
    ]
