"""Where a piece of work stands in its trace: W3C Trace Context.

Owns the header `traceparent`, read and written. Knows nothing of who sends it.
"""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Self

# version, trace, parent, flags; a later version than ours may go on after a dash.
TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
SAMPLED = 1


@dataclass(frozen=True)
class Trace:
    """One span's place.

    Attributes:
        trace_id: 32 hexadecimal digits that all spans of a trace share.
        span_id: 16 of its own.
        parent_id: The span that it is part of; None for the first.
        sampled: Whether whoever began the trace wants it recorded.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = True

    @classmethod
    def under(cls, traceparent: str | None) -> Self:
        """A new span under the one that a header names; the first of a new trace where there is none, or nonsense."""
        found = TRACEPARENT.fullmatch(traceparent or "")
        if found is None or (found[1] == "00" and found[5]):
            return cls(secrets.token_hex(16), _new_span_id())
        return cls(found[2], _new_span_id(), found[3], bool(int(found[4], 16) & SAMPLED))

    @property
    def traceparent(self) -> str:
        """The header that makes another span part of this one."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def sister(self) -> Self:
        """A new span that is part of the same one."""
        return replace(self, span_id=_new_span_id())


# The request that is being answered: what it queues is part of its trace, however many calls lie between.
CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)


def _new_span_id() -> str:
    return secrets.token_hex(8)
