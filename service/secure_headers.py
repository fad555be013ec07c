"""What every answer tells browsers and caches to be careful about.

Owns the headers and the policies. A header that a route has set stays.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.static_files import DOCUMENTATION, PAGE, StaticFile

POLICY = "default-src 'none'; frame-ancestors 'none'"
# In bytes, as they are sent: every answer passes here.
ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
# An answer with a tag may be kept, by its client alone, and is asked for again with it.
TAGGED, UNTAGGED = b"private, no-cache", b"no-store"
INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# Pictures that a script makes are `blob:`, those that an answer holds `data:`.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class SecureHeaders:
    """ASGI middleware; `policies` has those of paths that are pages."""

    app: ASGIApp
    policies: Mapping[str, str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and complete the headers of its answer."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                there = {name.lower() for name, _ in headers}
                policy = self.policies.get(scope["path"], POLICY).encode()
                cached = (b"cache-control", TAGGED if b"etag" in there else UNTAGGED)
                wanted = (*ALWAYS, (b"content-security-policy", policy), cached)
                message["headers"] = [*headers, *(each for each in wanted if each[0] not in there)]
            await send(message)

        await self.app(scope, receive, complete if scope["type"] == "http" else send)


def page_policies(files: Mapping[str, StaticFile]) -> dict[str, str]:
    """The policies of the paths that are pages."""
    policies = {PAGE: PAGE_POLICY}
    if DOCUMENTATION in files:
        policies[DOCUMENTATION] = documentation_policy(files[DOCUMENTATION].content.decode())
    return policies


def documentation_policy(page: str) -> str:
    """What the page `/docs` needs: its inline scripts by their digests, and the styles that its scripts set."""
    scripts = " ".join(f"'sha256-{_digest(script)}'" for script in INLINE_SCRIPT.findall(page))
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
