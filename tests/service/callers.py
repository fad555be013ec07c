"""Clients that can hang up, and the patience to see what becomes of it.

Owns their connections. Knows no law.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, TypeVar

import httpx
from redis import Redis

from worker.contract import members_key

LOOK_INTERVAL_S = 0.005
LONGEST_LOOK_S = 20.0
TIMEOUT_S = 30.0

T = TypeVar("T")


@contextmanager
def waiting(api: httpx.Client, path: str, body: bytes = b"", key: str | None = None) -> Iterator[HTTPConnection]:
    """A client that has posted and waits for longer than any test; closing its connection is hanging up."""
    connection = HTTPConnection(api.base_url.host, api.base_url.port or 80, timeout=TIMEOUT_S)
    headers = {"Prefer": "wait=60", "Content-Type": "image/png"}
    try:
        connection.request("POST", path, body, headers if key is None else {**headers, "Idempotency-Key": key})
        yield connection
    finally:
        connection.close()


def until(look: Callable[[], T], within_s: float = LONGEST_LOOK_S) -> T:
    """What `look` finds once it finds something; the test fails if that takes longer than `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s"
        time.sleep(LOOK_INTERVAL_S)
    return found


def awaited(redis: Redis, clients: int) -> str:
    """The id of the only job, once so many clients want it."""
    until(lambda: [wanting(redis, key) for key in redis.scan_iter(members_key("*"))] == [clients])
    (key,) = redis.scan_iter(members_key("*"))
    return str(key.decode()).rpartition(":")[2]


def wanting(redis: Redis, key: bytes) -> int:
    """How many are there who want a job, by the name of its members."""
    names: Any = redis.hkeys(key.decode())
    return sum(name.startswith(b"+") for name in names)
