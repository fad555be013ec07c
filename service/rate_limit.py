"""How much work a client may ask for: so many POSTs in a window that slides.

Owns who counts as one client, the count in Redis, and the headers `RateLimit` and `RateLimit-Policy`
(draft-ietf-httpapi-ratelimit-headers-10). Knows nothing of what the work is.
"""

import ipaddress
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from anyio import to_thread
from limits import RateLimitItem, parse
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import Redis
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import RateLimited
from service.redis_clients import redis_needed

COUNTED_PATHS = frozenset({"/generate", "/score", "/encode", "/decode", "/interpolate", "/verify"})
KEY_PREFIX = "tarflow:rate"
POLICY = '"work"'
# Whoever has one address of IPv6 has 2^64 of them.
IPV6_CLIENT_BITS = 64


@dataclass(frozen=True)
class Allowance:
    """What a client has left: requests now, and seconds until there are more."""

    granted: bool
    headers: Mapping[str, str]
    reset_s: int


@dataclass(frozen=True)
class RateLimit:
    """The bound on every client."""

    item: RateLimitItem
    limiter: SlidingWindowCounterRateLimiter

    @classmethod
    def of(cls, rate: str, connection: Redis) -> Self:
        """For a rate like `60/minute`; nothing is sent yet."""
        storage = RedisStorage("redis://", connection_pool=connection.connection_pool, key_prefix=KEY_PREFIX)
        return cls(parse(rate), SlidingWindowCounterRateLimiter(storage))

    def take(self, client: str) -> Allowance:
        """Count one request of a client, if it may have it; raises RedisAway. Blocks on Redis."""
        with redis_needed():
            granted = self.limiter.hit(self.item, client)
            stats = self.limiter.get_window_stats(self.item, client)
        reset_s = max(1, math.ceil(stats.reset_time - time.time()))
        remaining = max(0, stats.remaining) if granted else 0
        return Allowance(
            granted,
            {
                "RateLimit-Policy": f"{POLICY};q={self.item.amount};w={self.item.get_expiry()}",
                "RateLimit": f"{POLICY};r={remaining};t={reset_s}",
            },
            reset_s,
        )


@dataclass(frozen=True)
class RateLimitedApp:
    """ASGI middleware: work beyond the bound raises RateLimited, work within it is told what is left."""

    app: ASGIApp
    rate_limit: RateLimit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it may be."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in COUNTED_PATHS:
            await self.app(scope, receive, send)
            return
        allowance = await to_thread.run_sync(self.rate_limit.take, client_of(scope))
        if not allowance.granted:
            item = self.rate_limit.item
            raise RateLimited(
                f"at most {item.amount} requests for work in {item.get_expiry()} s (TARFLOW_RATE_LIMIT)",
                retry_after_s=allowance.reset_s,
                headers=allowance.headers,
            )

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(dict(allowance.headers))
            await send(message)

        await self.app(scope, receive, tell)


def client_of(scope: Scope) -> str:
    """Who counts as one client: the owner of a key, else an address, of IPv6 its network."""
    if name := scope.get("state", {}).get("client_name"):
        return f"key:{name}"
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "address:unknown"
    if address.version == 4:
        return f"address:{address}"
    return f"address:{ipaddress.ip_network((address, IPV6_CLIENT_BITS), strict=False)}"
