"""The worker's own small HTTP port: `/metrics`, `/livez`, `/readyz`.

Owns the server and its threads, which no batch holds up. Knows nothing of what makes a worker well.
"""

import json
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from worker.health import Health

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 5.0
JSON = "application/json"


@dataclass(frozen=True)
class Page:
    """An answer."""

    status: HTTPStatus
    media_type: str
    content: bytes


class HealthServer(ThreadingHTTPServer):
    """Answers for one worker process."""

    daemon_threads = True

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.health, self.registry = health, registry
        super().__init__((host, port), _Handler)

    def handle_error(self, _request: object, client_address: object) -> None:
        """Log what went wrong; that who asks has gone is nobody's fault."""
        if not isinstance(sys.exception(), ConnectionError):
            log.exception("a probe from %s got no answer", client_address)

    def page(self, path: str) -> Page:
        """What is said at a path."""
        if path == "/metrics":
            return Page(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self.registry))
        if path == "/livez":
            return _probe("alive", self.health.illness())
        if path == "/readyz":
            return _probe("ready", self.health.hindrance())
        return _said(HTTPStatus.NOT_FOUND, {"status": "there are /metrics, /livez and /readyz"})


class _Handler(BaseHTTPRequestHandler):
    server: HealthServer
    timeout = READ_TIMEOUT_S
    server_version, sys_version = "tarflow", ""

    def do_GET(self) -> None:
        page = self.server.page(self.path.partition("?")[0])
        self.send_response(page.status)
        self.send_header("Content-Type", page.media_type)
        self.send_header("Content-Length", str(len(page.content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(page.content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Nothing: probes come every few seconds."""


@contextmanager
def health_port(host: str, port: int, health: Health, registry: CollectorRegistry) -> Iterator[int]:
    """Answer while the block lasts; yields the port.

    Raises:
        OSError: The port cannot be had.
    """
    server = HealthServer(host, port, health, registry)
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _probe(content: str, objection: str | None) -> Page:
    if objection is None:
        return _said(HTTPStatus.OK, {"status": content})
    return _said(HTTPStatus.SERVICE_UNAVAILABLE, {"status": f"not {content}", "reason": objection})


def _said(status: HTTPStatus, body: dict[str, str]) -> Page:
    return Page(status, JSON, json.dumps(body).encode())
