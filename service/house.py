"""Everything a route may use, in one value.

Owns nothing but the bundle; its parts are made by `service.app` and passed along.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from service.completions import Completions
from service.job_queue import JobQueue
from service.metrics import ServiceMetrics
from service.models import Models
from service.redis_clients import RedisClients
from service.settings import ServiceSettings
from service.static_files import StaticFile


@dataclass(frozen=True)
class House:
    """The parts of one API process."""

    settings: ServiceSettings
    clients: RedisClients
    queue: JobQueue
    models: Models
    completions: Completions
    metrics: ServiceMetrics
    # Of threads: a large upload takes a tenth of a gigabyte and more while it is decoded.
    decoding: CapacityLimiter
    # By their paths, as the settings let them be seen.
    files: Mapping[str, StaticFile]


async def house_of(request: Request) -> House:
    """The house of the app that serves a request."""
    house: House = request.app.state.house
    return house


TheHouse = Annotated[House, Depends(house_of)]
