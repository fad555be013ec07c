"""A client that waits: until its job ends, its patience does, or it hangs up.

Owns the telling of the three apart. Knows nothing of jobs.
"""

import asyncio
from contextlib import suppress

from fastapi import Request

from service.errors import ServiceError


async def hung_up(request: Request, ended: asyncio.Event, wait_s: float) -> bool:
    """Wait for `ended`, for at most `wait_s`; whether the client left meanwhile, or before."""
    if not wait_s:
        with suppress(ServiceError):  # As below.
            return await request.is_disconnected()
        return False
    end, gone = asyncio.create_task(ended.wait()), asyncio.create_task(_disconnected(request))
    try:
        done, _ = await asyncio.wait({end, gone}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        return gone in done and end not in done
    finally:
        end.cancel()
        gone.cancel()
        await asyncio.gather(end, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    """Return once the connection is closed; a body that nobody read is passed over."""
    try:
        while (await request.receive())["type"] != "http.disconnect":
            pass
    except ServiceError:  # The body is too long to be passed over: who sends it is still there.
        await asyncio.Event().wait()
