"""Who asks: `Authorization: Bearer KEY`.

Owns the paths that need no key, and the name under which a client is known from there on. Knows nothing
of what is asked.
"""

from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api_keys import ApiKeys
from service.errors import Unauthorized

# Probes have no keys, browsers cannot send one for a page; metrics and documentation have switches instead.
OPEN_PATHS = frozenset({"/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json"})
# What the pages are made of.
OPEN_FOLDERS = ("/static/", "/docs/")


@dataclass(frozen=True)
class Authentication:
    """ASGI middleware: without a key that is known, raises Unauthorized; else notes its name as `client_name`."""

    app: ASGIApp
    keys: ApiKeys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it may be."""
        if scope["type"] == "http":
            name = self._owner(Headers(scope=scope).get("authorization", ""))
            if name is None and not is_open(scope["path"]):
                raise Unauthorized(
                    "send an API key that is known: Authorization: Bearer KEY", headers={"WWW-Authenticate": "Bearer"}
                )
            scope.setdefault("state", {})["client_name"] = name
        await self.app(scope, receive, send)

    def _owner(self, authorization: str) -> str | None:
        scheme, _, key = authorization.partition(" ")
        return self.keys.owner(key.strip()) if scheme.lower() == "bearer" else None


def is_open(path: str) -> bool:
    """Whether a path needs no key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)
