"""Headers that come in several lines.

Owns which of them are lists, which RFC 9110 (5.3) joins, and which may be said but once. Knows nothing of what
they mean.
"""

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import BadHeader

LISTS = ("accept", "prefer", "if-none-match")
SINGLE = ("Idempotency-Key", "Last-Event-ID")


@dataclass(frozen=True)
class JoinedHeaders:
    """ASGI middleware: joins the lines of a list; two lines of what is none raise BadHeader."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with each list in one line."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if repeated := [name for name in SINGLE if len(headers.getlist(name)) > 1]:
                raise BadHeader(f"{repeated[0]}: is given more than once")
            for name in LISTS:
                if len(lines := headers.getlist(name)) > 1:
                    others = [each for each in scope["headers"] if each[0] != name.encode()]
                    joined = (name.encode(), ", ".join(lines).encode("latin-1"))
                    # In place: who counts and logs reads the route from this scope.
                    scope["headers"] = [*others, joined]
        await self.app(scope, receive, send)
