"""The routes of operation: models, health, metrics.

Owns what they say. Knows nothing of jobs.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, RedirectResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.documentation import MODEL_RESPONSES, READY_RESPONSES
from service.errors import NoWorker
from service.house import House, house_of
from service.models import RETRY_AFTER_S
from worker.contract import Kind

router = APIRouter()

TheHouse = Annotated[House, Depends(house_of)]


@router.get("/models", responses=READY_RESPONSES, tags=["models"])
async def models(house: TheHouse) -> JSONResponse:
    """Every model offered, the default first: what it is and who works for it."""
    offered = [await _model(house, name) for name in house.models.names]
    return JSONResponse({"default": house.models.default, "models": offered})


@router.get("/models/{name}", responses=MODEL_RESPONSES, tags=["models"])
async def model(name: str, house: TheHouse) -> JSONResponse:
    """One model: size, classes, noise, defaults, digest, figures, live workers."""
    return JSONResponse(await _model(house, name))


@router.get("/livez", tags=["health"])
async def livez() -> JSONResponse:
    """The process lives; asks nobody else."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz", responses=READY_RESPONSES, tags=["health"])
async def readyz(house: TheHouse) -> JSONResponse:
    """Redis answers, and a worker of the default model lives."""
    name = house.models.default
    workers = await _live_workers(house, name)
    if not any(workers.values()):
        raise NoWorker(f"no live worker of {name}", retry_after_s=RETRY_AFTER_S)
    return JSONResponse({"status": "ready", "model": name, "workers": workers})


@router.get("/metrics", tags=["health"])
def metrics(house: TheHouse) -> Response:
    """Metrics for Prometheus."""
    return Response(generate_latest(house.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def root() -> RedirectResponse:
    """The documentation, until there is a page."""
    return RedirectResponse("/docs")


async def _model(house: House, name: str) -> dict[str, Any]:
    facts = await house.models.facts(name)
    known = {"name": name} if facts is None else facts.model_dump(mode="json")
    return {**known, "live_workers": await _live_workers(house, name)}


async def _live_workers(house: House, name: str) -> dict[str, int]:
    return {str(kind): await house.models.live_workers(kind, name) for kind in Kind}
