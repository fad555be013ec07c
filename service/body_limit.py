"""A bound on the bytes of a request's body.

Owns the counting. Knows nothing of what the bytes are.
"""

from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge


@dataclass(frozen=True)
class BodyLimit:
    """ASGI middleware: reading on past `max_bytes` raises BodyTooLarge inside the route."""

    app: ASGIApp
    max_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body counted."""
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self.max_bytes:
                    raise BodyTooLarge(f"body: may have at most {self.max_bytes} bytes (TARFLOW_MAX_UPLOAD_BYTES)")
            return message

        await self.app(scope, counted if scope["type"] == "http" else receive, send)
