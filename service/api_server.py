"""The HTTP server: one process, or several that share a port.

Owns uvicorn's settings and the processes. Knows nothing of routes.
"""

import multiprocessing
import os
import signal
import threading
from functools import partial
from multiprocessing.process import BaseProcess
from tempfile import TemporaryDirectory

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors.multiprocess import Multiprocess

from service.app import create_app
from service.metrics import SHARED_FOLDER_VARIABLE
from service.settings import ServiceSettings
from telemetry.log_lines import configure

GRACE_S = 15


def run_api(settings: ServiceSettings) -> None:
    """Serve HTTP until told to stop."""
    configure(settings.log_format)
    config = uvicorn.Config(
        partial(_app, settings),
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.processes,
        # Its loggers write to ours.
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    if settings.processes == 1:
        uvicorn.Server(config).run()
        return
    with TemporaryDirectory(prefix="tarflow-metrics-") as folder:
        os.environ[SHARED_FOLDER_VARIABLE] = folder
        Multiprocess(config, [config.bind_socket()]).run()


def _app(settings: ServiceSettings) -> FastAPI:
    """The app of one process, which may be a child that nobody else tells of its parent's death."""
    configure(settings.log_format)
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_end_with, args=(parent,), name="orphan watch", daemon=True).start()
    return create_app(settings)


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
