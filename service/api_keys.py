"""API keys: made once, kept as digests, compared in constant time.

Owns their form and the entries of `TARFLOW_API_KEYS`. Knows nothing of HTTP.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Self

KEY_PREFIX = "tarflow_"
KEY_BYTES = 32
ENTRY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63}):([0-9a-f]{64})")


@dataclass(frozen=True)
class ApiKey:
    """Whose key it is, and its SHA-256: a key is 256 random bits, so that nothing slower is needed."""

    name: str
    digest: str

    @property
    def entry(self) -> str:
        """As it is configured."""
        return f"{self.name}:{self.digest}"


@dataclass(frozen=True)
class ApiKeys:
    """The keys that are let in; one name may have several, while they are rotated."""

    keys: tuple[ApiKey, ...]

    @classmethod
    def parse(cls, entries: str) -> Self:
        """Keys of comma-separated entries `name:sha256`.

        Raises:
            ValueError: One is something else; the message says which, not what.
        """
        return cls(tuple(_parse(number, text.strip()) for number, text in enumerate(_parts(entries), start=1)))

    def owner(self, presented: str) -> str | None:
        """The name behind a key; None for a stranger's. Takes as long for either."""
        digest, found = _digest(presented), None
        for key in self.keys:
            if hmac.compare_digest(key.digest, digest):
                found = key.name
        return found


def new_key(name: str) -> tuple[str, ApiKey]:
    """A fresh key, which is nowhere else, and what is kept of it.

    Raises:
        ValueError: The name cannot be one.
    """
    secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    key = ApiKey(name, _digest(secret))
    if not ENTRY.fullmatch(key.entry):
        raise ValueError(f"{name[:100]!r} is no name: 1..64 letters, digits, dots, dashes or underscores")
    return secret, key


def _parts(entries: str) -> list[str]:
    return entries.split(",") if entries.strip() else []


def _parse(number: int, entry: str) -> ApiKey:
    found = ENTRY.fullmatch(entry)
    if found is None:
        raise ValueError(f"entry {number} is not name:sha256; `tarflow key NAME` makes one")
    return ApiKey(found[1], found[2])


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
