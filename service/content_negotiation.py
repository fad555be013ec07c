"""Which of the types we can make a client wants, how long it will wait, and what it has already.

Owns the reading of `Accept`, `Prefer`, `Idempotency-Key` and `If-None-Match`. Knows nothing of what is
answered.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import mimeparse

from service.errors import BadHeader, NotAcceptable

PNG = "image/png"
JSON = "application/json"
RESPOND_ASYNC, PREVIEWS = "respond-async", "previews"
LONGEST_WAIT_S = 60.0
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def accepted_type(accept: str | None, offered: Sequence[str]) -> str:
    """The best of the offered types, the first of them where the client does not care.

    Raises:
        BadHeader: The header is no list of media ranges.
        NotAcceptable: None of the offered types is accepted.
    """
    if not accept:
        return offered[0]
    try:
        # mimeparse breaks ties in favour of the last.
        best: str = mimeparse.best_match(list(reversed(offered)), accept.lower())
    except mimeparse.MimeTypeParseException as error:
        raise BadHeader(f"Accept: {accept[:100]!r} is no list of media types") from error
    if not best:
        raise NotAcceptable(f"Accept: {accept[:100]!r} matches none of {', '.join(offered)}")
    return best


@dataclass(frozen=True)
class Preference:
    """How a client wants its answer: within `wait_s`, or 202 at once where that is 0; what was `applied` it is told.

    With `previews` the pictures on their way are kept from the first on, for who reads the job's events later.
    """

    wait_s: float
    applied: str | None = None
    previews: bool = False

    def honoured(self, *unmet: str) -> str | None:
        """What was applied, without those that this answer did not meet."""
        met = [each for each in (self.applied or "").split(", ") if each not in unmet]
        return ", ".join(met) or None


def preference(prefer: str | None, default_wait_s: float) -> Preference:
    """The `Prefer` header (RFC 7240): `wait=N`, `respond-async`, `previews`; what is unknown is passed over.

    Raises:
        BadHeader: `wait` is no whole number of seconds.
    """
    wait_s, applied = None, list[str]()
    for part in (prefer or "").split(","):
        name, _, value = (side.strip() for side in part.split(";")[0].partition("="))
        if name.lower() in (RESPOND_ASYNC, PREVIEWS):
            applied.append(name.lower())
        elif name.lower() == "wait" and wait_s is None:
            wait_s = _seconds(value.strip('"'))
            applied.append(f"wait={wait_s:g}")
    if wait_s is None:
        # Alone, `respond-async` asks for no wait; beside `wait` it says what should follow the wait.
        wait_s = 0.0 if RESPOND_ASYNC in applied else default_wait_s
    return Preference(wait_s, ", ".join(dict.fromkeys(applied)) or None, PREVIEWS in applied)


def _seconds(value: str) -> float:
    if not (value.isascii() and value.isdecimal()):
        raise BadHeader(f"Prefer: wait takes whole seconds 0..{LONGEST_WAIT_S:g}, got {value[:20]!r}")
    return min(float(value), LONGEST_WAIT_S)


def idempotency_key(given: str | None, client_name: str | None = None) -> str | None:
    """The `Idempotency-Key` header, of a client with an API key one of its own: no key holds the space between.

    Raises:
        BadHeader: It is empty, too long, or holds spaces or more than ASCII.
    """
    if given is not None and not IDEMPOTENCY_KEY.fullmatch(given):
        raise BadHeader("Idempotency-Key: takes 1..255 visible ASCII characters")
    return f"{client_name} {given}" if given and client_name else given


def has_already(if_none_match: str | None, etag: str, exists: bool) -> bool:
    """Whether the `If-None-Match` header names this tag, or, where there is an answer, any."""
    # Compared weakly (RFC 9110): a proxy that compresses an answer weakens its tag.
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return etag in tags or (exists and "*" in tags)
