"""The routes of operation: models, health, metrics.

Owns what they say. Knows nothing of jobs.
"""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.documentation import LIVE_RESPONSES, METRICS_RESPONSES, MODEL_RESPONSES, READY_RESPONSES
from service.errors import NoWorker, UnknownRoute
from service.house import House, TheHouse
from service.models import RETRY_AFTER_S
from service.parameters import BARE
from service.standing import standings
from worker.contract import Kind

models_router = APIRouter(tags=["models"], dependencies=BARE)
# What `service.authentication` lets pass without a key.
open_router = APIRouter(dependencies=BARE)


@models_router.head("/models", include_in_schema=False)
@models_router.get("/models", responses=READY_RESPONSES)
async def models(house: TheHouse) -> JSONResponse:
    """Every model offered, the default first: what it is and who works for it."""
    offered = [await _model(house, name) for name in house.models.names]
    return JSONResponse({"default": house.models.default, "models": offered})


@models_router.head("/models/{name}", include_in_schema=False)
@models_router.get("/models/{name}", responses=MODEL_RESPONSES)
async def model(name: str, house: TheHouse) -> JSONResponse:
    """One model: size, classes, noise, defaults, digest, live workers, and its card.

    The card says what it was trained on, under which licence and with which command, on which hardware for how
    long, its figures and the commands that measured them, what it is for and what it must not be used for.
    """
    return JSONResponse(await _model(house, name))


@models_router.head("/status", include_in_schema=False)
@models_router.get("/status", responses=READY_RESPONSES)
async def status(house: TheHouse) -> JSONResponse:
    """The service at a glance, for each model and kind of work: who works on what, how much waits, how fast it goes."""
    readings = await standings(house.clients.loop, house.models.names)
    return JSONResponse({"default": house.models.default, "queues": [asdict(each) for each in readings]})


@open_router.head("/livez", include_in_schema=False)
@open_router.get("/livez", responses=LIVE_RESPONSES, tags=["health"])
async def livez() -> JSONResponse:
    """The process lives; asks nobody else."""
    return JSONResponse({"status": "alive"})


@open_router.head("/readyz", include_in_schema=False)
@open_router.get("/readyz", responses=READY_RESPONSES, tags=["health"])
async def readyz(house: TheHouse) -> JSONResponse:
    """Redis answers, and a worker of the default model lives."""
    name = house.models.default
    workers = await _live_workers(house, name)
    if not any(workers.values()):
        raise NoWorker(f"no live worker of {name}", retry_after_s=RETRY_AFTER_S)
    return JSONResponse({"status": "ready", "model": name, "workers": workers})


@open_router.head("/metrics", include_in_schema=False)
@open_router.get("/metrics", responses=METRICS_RESPONSES, response_class=PlainTextResponse, tags=["health"])
def metrics(house: TheHouse) -> Response:
    """Metrics for Prometheus."""
    if not house.settings.metrics:
        raise UnknownRoute("there is no /metrics (TARFLOW_METRICS)")
    return Response(generate_latest(house.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _model(house: House, name: str) -> dict[str, Any]:
    facts = await house.models.facts(name)
    known = {"name": name} if facts is None else facts.model_dump(mode="json")
    return {**known, "live_workers": await _live_workers(house, name)}


async def _live_workers(house: House, name: str) -> dict[str, int]:
    return {str(kind): await house.models.live_workers(kind, name) for kind in Kind}
