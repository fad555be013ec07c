"""News of jobs: one read on one stream serves every waiting request of the process.

Owns the listeners and the reading task. Knows nothing of results.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis import asyncio as aioredis

from worker.contract import NEWS_STREAM, JobEvent

BLOCK_MS = 2000
RETRY_S = 0.5

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Listener:
    """What one request waits for: `ended` is set at the job's end, `news` at every event of it."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Completions:
    """Listeners by job id; `reading` keeps them fed."""

    connection: aioredis.Redis
    _listeners: dict[str, set[Listener]] = field(default_factory=lambda: defaultdict(set))

    @asynccontextmanager
    async def watching(self, job_id: str) -> AsyncIterator[Listener]:
        """A listener to a job; what was told before is for its user to look up, after entering."""
        listener = Listener()
        self._listeners[job_id].add(listener)
        try:
            yield listener
        finally:
            self._listeners[job_id].discard(listener)
            if not self._listeners[job_id]:
                del self._listeners[job_id]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read the stream while the block lasts."""
        task = asyncio.create_task(self._read())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _read(self) -> None:
        # From the start of the stream, not from "$": what is told before the first answer of Redis,
        # or while it is away, is not missed. The stream is short, and old news wake nobody.
        last_id: Any = "0-0"
        away = False
        while True:
            try:
                answer: Any = await self.connection.xread({NEWS_STREAM: last_id}, block=BLOCK_MS)
            except Exception as error:  # Whatever it is, those who wait must be woken.
                if not away:
                    log.warning("waiting for Redis: %s", error)
                away = True
                await asyncio.sleep(RETRY_S)
                continue
            away = False
            for _, entries in answer or ():
                for entry_id, fields in entries:
                    last_id = entry_id
                    try:
                        self._announce(fields[b"job_id"].decode(), fields[b"event"].decode())
                    except (KeyError, UnicodeDecodeError):  # Not ours; nobody may end the reading of the rest.
                        log.warning("strange news passed over: %s", entry_id)

    def _announce(self, job_id: str, event: str) -> None:
        for listener in self._listeners.get(job_id, ()):
            listener.news.set()
            if event == JobEvent.DONE:
                listener.ended.set()
