"""`tarflow serve`: Redis, the workers and the API on this machine, and all of it gone at the end.

Owns the order of starting and stopping. Knows nothing of requests.
"""

import asyncio
import signal
import socket
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from service.api_server import run_api
from service.checkpoints import check_checkpoints
from service.embedded_redis import embedded_redis
from service.errors import ServiceError
from service.exposure import check_exposure
from service.models import Models
from service.redis_clients import RedisClients
from service.settings import ServiceSettings
from service.supervisor import workers
from telemetry.log_lines import configure
from worker.contract import Kind

ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
LOOK_INTERVAL_S = 0.2
UNUSED_DATA_DIR = "--data-dir is not used: TARFLOW_REDIS_URL names a Redis, which keeps its data itself"


class PortTaken(RuntimeError):
    """Something listens where we would."""


def serve(settings: ServiceSettings, data_dir: Path | None, metrics_port: int) -> None:
    """Run everything until told to stop; leaves no process behind.

    Raises:
        CheckpointMissing, OpenToStrangers, PortTaken: Before anything was started.
        RedisNotFound, RedisFailed: There is no Redis to be had.
    """
    if data_dir is not None and "redis_url" in settings.model_fields_set:
        print(f"tarflow: {UNUSED_DATA_DIR}", file=sys.stderr, flush=True)
    configure(settings.log_format)
    check_checkpoints(settings.checkpoints)
    check_exposure(settings)
    check_port(settings.host, settings.port)
    for number in ENDINGS:
        signal.signal(number, _leave)
    with ExitStack() as stack:
        if "redis_url" not in settings.model_fields_set:
            url = stack.enter_context(embedded_redis(data_dir))
            settings = settings.model_copy(update={"redis_url": url})
        stack.enter_context(workers(settings, metrics_port))
        threading.Thread(target=_announce, args=(settings,), name="announce", daemon=True).start()
        # In this process, whose signals are ours to heed.
        run_api(settings.model_copy(update={"processes": 1}))


def check_port(host: str, port: int) -> None:
    """Raise PortTaken if something listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"port {port} on {host} cannot be had ({error.strerror}): choose another with --port"
            ) from error


def _announce(settings: ServiceSettings) -> None:
    """Say when the first picture can be asked for, and how."""
    print(f"tarflow: loading {', '.join(settings.model_names)} ...", file=sys.stderr, flush=True)
    asyncio.run(_until_all_live(Models(RedisClients.connect(settings.redis_url).loop, settings.model_names)))
    print(invitation(settings), file=sys.stderr, flush=True)


def invitation(settings: ServiceSettings) -> str:
    """Where it is, and a line that makes a picture, whatever the model."""
    url = settings.own_url
    key = ' -H "Authorization: Bearer KEY"' if settings.api_keys else ""
    docs = f" (documentation: {url}/docs)" if settings.docs else ""
    words = "Open it in a browser, or try" if settings.page else "Try"
    return (
        f"tarflow: ready at {url}{docs}. {words}\n"
        f'  curl -X POST "{url}/generate"{key} -o picture.png\n'
        "Ctrl-C stops everything."
    )


async def _until_all_live(models: Models) -> None:
    missing = {(kind, name) for kind in Kind for name in models.names}
    while missing:
        with suppress(ServiceError):
            missing = {each for each in missing if not await models.live_workers(*each)}
        await asyncio.sleep(LOOK_INTERVAL_S)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Unwind, so that every block that started something stops it; a second signal must not break that off."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)
