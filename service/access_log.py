"""One line for each request, and its place in a trace.

Owns what is told of a request: never a query, a body or a key. Knows nothing of what the routes do.
"""

import logging
import time
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import CLIENT_GONE, METHODS, route_template
from telemetry.log_lines import log_fields
from telemetry.spans import Spans
from telemetry.traces import CURRENT, Trace

# Asked every few seconds, by machines and by every page that is open: worth a line where they fail.
PROBES = frozenset({"/livez", "/readyz", "/metrics", "/status"})
LONGEST_JOB_ID = 32
TRACED = b"traceparent"
SERVER_FAULT = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AccessLog:
    """ASGI middleware: gives a request its trace, answers `traceparent`, and tells of its end."""

    app: ASGIApp
    spans: Spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log it when its answer has ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        trace = Trace.under(next((value.decode("latin-1") for name, value in scope["headers"] if name == TRACED), None))
        begun_s, answer = time.time(), _Answer()

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.note(message)
                told = ((TRACED, trace.traceparent.encode()), (b"x-request-id", trace.span_id.encode()))
                message["headers"] = [*message["headers"], *told]
            await send(message)

        token = CURRENT.set(trace)
        try:
            await self.app(scope, receive, note)
        finally:
            CURRENT.reset(token)
            self._tell(scope, trace, begun_s, answer)

    def _tell(self, scope: Scope, trace: Trace, begun_s: float, answer: "_Answer") -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route, ended_s = route_template(scope), time.time()
        fields = {
            "method": method,
            "route": route,
            "status": answer.status,
            "duration_ms": round(1e3 * (ended_s - begun_s), 1),
            "request_id": trace.span_id,
            "trace_id": trace.trace_id,
            "job_id": answer.job_id or scope.get("path_params", {}).get("job_id", "")[:LONGEST_JOB_ID] or None,
            **_state(scope, answer),
        }
        quiet = route in PROBES and answer.status < SERVER_FAULT
        log_fields(log, logging.DEBUG if quiet else logging.INFO, f"{method} {route} {answer.status}", fields)
        attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": answer.status}
        self.spans.record(f"{method} {route}", trace, begun_s, ended_s, attributes)


@dataclass
class _Answer:
    """What is known of an answer once it has begun; a client that hung up before has none."""

    status: int = CLIENT_GONE
    job_id: str | None = None
    model: str | None = None

    def note(self, message: Message) -> None:
        """Take what the beginning of an answer tells."""
        self.status = message["status"]
        for name, value in message["headers"]:
            if name == b"x-job-id":
                self.job_id = value.decode("latin-1")
            elif name == b"x-model":
                self.model = value.decode("latin-1")


def _state(scope: Scope, answer: _Answer) -> dict[str, Any]:
    state = scope.get("state", {})
    return {"model": answer.model or state.get("model"), "client": state.get("client_name")}
