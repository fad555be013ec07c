"""The HTTP application, put together.

Owns which part gets which; every part is made here and nowhere else. Importing does nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from service import latent_routes, operations, page_routes, problems, routes
from service.access_log import AccessLog
from service.admission import Admission, Limits
from service.api_keys import ApiKeys
from service.authentication import Authentication
from service.body_limit import BodyLimit
from service.body_time import BodyTime
from service.cancellation import Cancellation
from service.completions import Completions
from service.documentation import KEYED_RESPONSES
from service.house import House
from service.job_queue import JobQueue
from service.joined_headers import JoinedHeaders
from service.metrics import MeasuredApp, ServiceMetrics
from service.models import Models
from service.problems import FaultBarrier
from service.rate_limit import RateLimit, RateLimitedApp
from service.redis_clients import RedisClients
from service.secure_headers import SecureHeaders, page_policies
from service.settings import ServiceSettings
from service.static_files import SCHEMA_PATH, TITLE, static_files
from telemetry.spans import collected_spans


def create_app(settings: ServiceSettings) -> FastAPI:
    """The app for these settings; nothing is connected before it starts."""
    clients = RedisClients.connect(settings.redis_url)
    house = House(
        settings=settings,
        clients=clients,
        queue=JobQueue(
            clients.loop,
            Admission(clients.loop, _limits(settings)),
            Cancellation(clients.loop, settings.result_ttl_s),
            settings.job_timeout_s,
        ),
        models=Models(clients.loop, settings.model_names),
        completions=Completions(clients.loop),
        metrics=ServiceMetrics(clients.blocking, settings.model_names),
        decoding=CapacityLimiter(1),
        files=static_files(settings),
    )
    app = FastAPI(
        title=TITLE,
        summary="Images and exact likelihoods from a normalizing flow",
        version="0.1.0",
        lifespan=_lifespan,
        openapi_url=SCHEMA_PATH if settings.docs else None,
        docs_url=None,
        redoc_url=None,
        # A path with a slash too many is none, not a way to what a client calls our host.
        redirect_slashes=False,
    )
    app.state.house = house
    # For the documentation alone: the key is looked at before any route is.
    keyed = bool(settings.api_keys)
    asked, responses = [Depends(HTTPBearer(auto_error=False))] if keyed else [], KEYED_RESPONSES if keyed else {}
    app.include_router(routes.router, dependencies=asked, responses=responses)
    app.include_router(latent_routes.router, dependencies=asked, responses=responses)
    app.include_router(operations.models_router, dependencies=asked, responses=responses)
    app.include_router(operations.open_router)
    app.include_router(page_routes.router)
    problems.install(app)
    _wrap(app, house)
    # Every route that is refused or counted is looked up there: made now, no request waits for it.
    app.openapi()
    return app


def _limits(settings: ServiceSettings) -> Limits:
    return Limits(settings.max_queued, settings.max_held_bytes, settings.result_ttl_s, settings.max_queued_passes)


def _wrap(app: FastAPI, house: House) -> None:
    """What a request passes before the routes; the last is the first that it meets."""
    settings = house.settings
    app.add_middleware(JoinedHeaders)
    app.add_middleware(BodyLimit, max_bytes=settings.max_upload_bytes)
    app.add_middleware(BodyTime, most_s=settings.upload_s)
    if settings.rate_limit:
        app.add_middleware(RateLimitedApp, rate_limit=RateLimit.of(settings.rate_limit, house.clients.blocking))
    if settings.api_keys:
        app.add_middleware(Authentication, keys=ApiKeys.parse(settings.api_keys))
    app.add_middleware(FaultBarrier)
    app.add_middleware(MeasuredApp, metrics=house.metrics)
    app.add_middleware(SecureHeaders, policies=page_policies(house.files))
    app.add_middleware(AccessLog, spans=collected_spans("tarflow-api"))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Read completions while the app serves, then let the connections go."""
    house: House = app.state.house
    async with house.completions.reading():
        yield
    await house.clients.loop.aclose()
    house.clients.blocking.close()
