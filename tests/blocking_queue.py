"""The service's queues for tests, which have no event loop.

Owns the loop and the connection of each call. Knows no law.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis import asyncio as aioredis

from service.admission import Admission, Limits
from service.cancellation import Cancellation
from service.job_queue import JobQueue
from service.redis_clients import redis_needed


@dataclass(frozen=True)
class Blocking:
    """A `JobQueue` for threads: each call has a loop and a connection of its own."""

    url: str
    limits: Limits
    job_timeout_s: int

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A method of the queue, done when it returns."""
        return lambda *arguments, **options: asyncio.run(self._call(name, arguments, options))

    async def _call(self, name: str, arguments: Any, options: Any) -> Any:
        async with aioredis.Redis.from_url(self.url) as connection:
            cancellation = Cancellation(connection, self.limits.result_ttl_s)
            queue = JobQueue(connection, Admission(connection, self.limits), cancellation, self.job_timeout_s)
            with redis_needed():
                return await getattr(queue, name)(*arguments, **options)
