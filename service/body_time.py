"""A bound on how long a request's body may take to arrive.

Owns the clock. Knows nothing of what the bytes are.
"""

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooSlow


@dataclass(frozen=True)
class BodyTime:
    """ASGI middleware: a body that is not there `most_s` after it was first asked for raises BodyTooSlow."""

    app: ASGIApp
    most_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body timed."""
        loop, deadline_s, complete = asyncio.get_running_loop(), float("inf"), False

        async def timed() -> Message:
            nonlocal deadline_s, complete
            if complete:  # What comes now is the end of the connection, which may take its time.
                return await receive()
            deadline_s = min(deadline_s, loop.time() + self.most_s)
            try:
                async with asyncio.timeout_at(deadline_s):
                    message = await receive()
            except TimeoutError as error:
                raise BodyTooSlow(f"body: may take at most {self.most_s:g} s to arrive (TARFLOW_UPLOAD_S)") from error
            complete = not message.get("more_body", False)
            return message

        await self.app(scope, timed if scope["type"] == "http" else receive, send)
