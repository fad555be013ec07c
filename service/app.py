"""The HTTP application, put together.

Owns which part gets which; every part is made here and nowhere else. Importing does nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from service import operations, problems, routes
from service.admission import Admission, Limits
from service.body_limit import BodyLimit
from service.cancellation import Cancellation
from service.completions import Completions
from service.house import House
from service.job_queue import JobQueue
from service.metrics import MeasuredApp, ServiceMetrics
from service.models import Models
from service.redis_clients import RedisClients
from service.settings import ServiceSettings


def create_app(settings: ServiceSettings) -> FastAPI:
    """The app for these settings; nothing is connected before it starts."""
    clients = RedisClients.connect(settings.redis_url)
    house = House(
        settings=settings,
        clients=clients,
        queue=JobQueue(
            clients.loop,
            Admission(clients.loop, Limits(settings.max_queued, settings.max_held_bytes, settings.result_ttl_s)),
            Cancellation(clients.loop, settings.result_ttl_s),
            settings.job_timeout_s,
        ),
        models=Models(clients.loop, settings.model_names),
        completions=Completions(clients.loop),
        metrics=ServiceMetrics(clients.blocking, settings.model_names),
    )
    app = FastAPI(
        title="TarFlow",
        summary="Images and exact likelihoods from a normalizing flow",
        version="0.1.0",
        lifespan=_lifespan,
    )
    app.state.house = house
    app.include_router(routes.router)
    app.include_router(operations.router)
    problems.install(app)
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes)
    app.add_middleware(MeasuredApp, metrics=house.metrics)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Read completions while the app serves, then let the connections go."""
    house: House = app.state.house
    async with house.completions.reading():
        yield
    await house.clients.loop.aclose()
    house.clients.blocking.close()
