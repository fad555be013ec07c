"""What is told of a job, as server-sent events.

Owns their order, their replay and their end. Knows nothing of who made them.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from anyio import to_thread
from fastapi.sse import ServerSentEvent

from service.answers import job_body
from service.errors import BadHeader
from service.house import House
from worker.contract import JobEvent, events_key

# A place in the queue changes without news: it is told again so often while a job waits.
LOOK_AGAIN_S = 5.0
EVENT_ID = re.compile(r"\d{1,20}(-\d{1,20})?")


def first_event_id(last_event_id: str | None) -> str:
    """From where to replay: after `Last-Event-ID`, or from the job's first event.

    Raises:
        BadHeader: It is none of ours.
    """
    if last_event_id is not None and not EVENT_ID.fullmatch(last_event_id):
        raise BadHeader(f"Last-Event-ID: {last_event_id[:50]!r} is no id of an event")
    return last_event_id or "0-0"


async def job_events(house: House, job_id: str, after: str) -> AsyncIterator[ServerSentEvent]:
    """Where the job is, then every event after `after`, to the last, which is `done`."""
    async with house.completions.watching(job_id) as listener:
        await to_thread.run_sync(house.queue.want_previews, job_id)
        told = None
        while True:
            listener.news.clear()
            ended = False
            for event_id, event, data in await _since(house, job_id, after):
                after, ended = event_id, event is JobEvent.DONE
                yield ServerSentEvent(event=event, data=data, id=event_id)
                if ended:
                    return
            view = await to_thread.run_sync(house.queue.view, job_id)
            body = await to_thread.run_sync(job_body, house, view)
            status = {name: body[name] for name in ("state", "position", "progress", "eta_s")}
            if view.state.is_terminal:  # Its events have expired, or were all told before.
                yield ServerSentEvent(event=JobEvent.DONE, data={"state": view.state})
                return
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
