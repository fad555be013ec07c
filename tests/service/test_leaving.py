"""Owns the law of a server that stops: who it cannot wait for is told so, and counted."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message

from service.app import create_app
from service.errors import Leaving, status_of
from service.settings import ServiceSettings
from tests.service.stand_in import FACTS


def scope(method: str, path: str) -> dict[str, Any]:
    """A request without a body."""
    said = {"method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    where = {"scheme": "http", "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 1), "root_path": ""}
    return {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "state": {}, **said, **where}


def refused(registry: CollectorRegistry) -> float | None:
    """How many were turned away because the server leaves."""
    return registry.get_sample_value("tarflow_rejected_total", {"reason": Leaving.__name__})


@pytest.mark.usefixtures("stand_in")
def test_work_that_a_server_leaves_is_answered_and_counted(redis_url: str) -> None:
    app = create_app(ServiceSettings(redis_url=redis_url, models=FACTS.name))
    answered: list[Message] = []

    waits = asyncio.Event()

    async def receive() -> Message:
        waits.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        answered.append(message)

    async def leave() -> None:
        async with app.router.lifespan_context(app):
            task = asyncio.create_task(app(scope("POST", "/generate"), receive, send))
            await waits.wait()
            task.cancel()
            await task

    asyncio.run(leave())
    registry = app.state.house.metrics.registry
    assert (answered[0]["status"], refused(registry)) == (status_of(Leaving("")), 1)
