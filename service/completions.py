"""News of ended jobs: one read on one stream serves every waiting request of the process.

Owns the waiters and the reading task. Knows nothing of results.
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
from redis.exceptions import RedisError

from worker.contract import DONE_STREAM

BLOCK_MS = 2000
RETRY_S = 0.5

log = logging.getLogger(__name__)


@dataclass
class Completions:
    """Events by job id; `reading` keeps them fed."""

    connection: aioredis.Redis
    _waiters: dict[str, set[asyncio.Event]] = field(default_factory=lambda: defaultdict(set))

    @asynccontextmanager
    async def watching(self, job_id: str) -> AsyncIterator[asyncio.Event]:
        """An event set when the job ends; enter before the job is queued, or its end may be missed."""
        event = asyncio.Event()
        self._waiters[job_id].add(event)
        try:
            yield event
        finally:
            self._waiters[job_id].discard(event)
            if not self._waiters[job_id]:
                del self._waiters[job_id]

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
        # From the start of the stream, not from "$": what ends before the first answer of Redis,
        # or while it is away, is not missed. The stream is short, and old news wake nobody.
        last_id: Any = "0-0"
        while True:
            try:
                answer: Any = await self.connection.xread({DONE_STREAM: last_id}, block=BLOCK_MS)
            except RedisError as error:
                log.warning("waiting for Redis: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            for _, entries in answer or ():
                for entry_id, fields in entries:
                    last_id = entry_id
                    self._announce(fields[b"job_id"].decode())

    def _announce(self, job_id: str) -> None:
        for event in self._waiters.get(job_id, ()):
            event.set()
