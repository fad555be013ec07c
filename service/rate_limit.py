"""How much work a client may ask for: so many POSTs in a window that slides, the dear ones counted as several.

Owns who counts as one client, the count in Redis, and the headers `RateLimit` and `RateLimit-Policy`
(draft-ietf-httpapi-ratelimit-headers-10). Knows nothing of what the work is.
"""

import ipaddress
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """What a client has left: requests now, and seconds until there are as many as it asks for."""

    granted: bool
    headers: Mapping[str, str]
    reset_s: int


@dataclass(frozen=True)
class RateLimit:
    """The bound on every client."""

    item: RateLimitItem
    limiter: SlidingWindowCounterRateLimiter
    storage: RedisStorage

    @classmethod
    def of(cls, rate: str, connection: Redis) -> Self:
        """For a rate like `60/minute`; nothing is sent yet."""
        storage = RedisStorage("redis://", connection_pool=connection.connection_pool, key_prefix=KEY_PREFIX)
        return cls(parse(rate), SlidingWindowCounterRateLimiter(storage), storage)

    def take(self, client: str, posts: int = 1, counted: int = 0) -> Allowance:
        """Count so many POSTs of a client, if it may have them, else none of its request; raises RedisAway.

        Blocks on Redis.

        Args:
            client: Whose they are.
            posts: How many.
            counted: What of the same request was counted before; given back where it is refused.
        """
        with redis_needed():
            granted = self.limiter.hit(self.item, client, cost=posts)
            if counted and not granted:
                self.limiter.hit(self.item, client, cost=-counted)
            stats = self.limiter.get_window_stats(self.item, client)
            room_s = 0.0 if granted or posts + counted == 1 else self._until_room_s(client, posts + counted)
        reset_s = max(1, math.ceil(stats.reset_time - time.time()))
        return Allowance(
            granted,
            {
                "RateLimit-Policy": f"{POLICY};q={self.item.amount};w={self.item.get_expiry()}",
                "RateLimit": f"{POLICY};r={max(0, stats.remaining)};t={reset_s}",
            },
            max(reset_s, math.ceil(room_s)),
        )

    def _until_room_s(self, client: str, posts: int) -> float:
        """Seconds until so many POSTs at once will be granted, if none is counted meanwhile."""
        window_s, free = self.item.get_expiry(), self.item.amount - posts
        # The window before counts for its share that has not slid away yet, rounded down.
        before, before_ends_s, now, now_ends_s = self.storage.get_sliding_window(self.item.key_for(client), window_s)
        if now <= free:
            return max(0.0, before_ends_s - (free - now + 1) * window_s / max(1, before))
        return now_ends_s % window_s + max(0.0, window_s - (free + 1) * window_s / now)


@dataclass
class Purse:
    """What one request has taken of its client's share, and what is left of it."""

    rate_limit: RateLimit
    client: str
    taken: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    async def pay(self, posts: int) -> None:
        """Let the request count as so many POSTs in all, at most as all that its client may have.

        Raises:
            RateLimited: The client has not so many left.
        """
        item = self.rate_limit.item
        due = min(posts, item.amount) - self.taken
        if due <= 0:
            return
        allowance = await to_thread.run_sync(self.rate_limit.take, self.client, due, self.taken)
        self.headers = allowance.headers
        if not allowance.granted:
            counted = f"; this one counts as {self.taken + due}" if self.taken else ""
            self.taken = 0
            raise RateLimited(
                f"at most {item.amount} requests for work in {item.get_expiry()} s (TARFLOW_RATE_LIMIT){counted}",
                retry_after_s=allowance.reset_s,
                headers=allowance.headers,
            )
        self.taken += due


@dataclass(frozen=True)
class RateLimitedApp:
    """ASGI middleware: work beyond the bound raises RateLimited, work within it is told what is left.

    A request that turns out to be dear pays on with the `purse` of its state.
    """

    app: ASGIApp
    rate_limit: RateLimit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it may be."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in COUNTED_PATHS:
            await self.app(scope, receive, send)
            return
        purse = Purse(self.rate_limit, client_of(scope))
        await purse.pay(1)
        scope.setdefault("state", {})["purse"] = purse

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(dict(purse.headers))
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
