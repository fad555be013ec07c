"""Exceptions as answers: every error leaves as problem+json.

Owns the translation of what the framework raises into our tree. Knows nothing of routes.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import (
    PROBLEM_TYPE,
    BadHeader,
    FieldError,
    Internal,
    InvalidInput,
    Leaving,
    MethodNotAllowed,
    ServiceError,
    UnknownRoute,
    problem,
    status_of,
)
from service.parameters import documented, unknown
from worker.contract import with_value

RETRY_AFTER_S = 2
EVENTS = "text/event-stream"

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Answer every exception of an app with a problem."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)


def _respond(error: ServiceError, headers: dict[str, str] | None = None) -> JSONResponse:
    headers = {**error.headers, **(headers or {})}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return JSONResponse(problem(error), status_of(error), headers, media_type=PROBLEM_TYPE)


async def _service_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ServiceError):
        raise error
    # Only a POST is work: probes and looks are turned away, too.
    if status_of(error) in (429, 503) and request.method == "POST":
        request.app.state.house.metrics.rejected.labels(type(error).__name__).inc()
    return _respond(error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = tuple(_field_error(each, request) for each in error.errors())
    detail = "; ".join(f"{each.field}: {each.message}" for each in errors)
    in_header = all(each.location == "header" for each in errors)
    return _respond(BadHeader(detail, errors) if in_header else InvalidInput(detail, errors))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        where = "; see /docs" if documented(request) else ""
        return _respond(UnknownRoute(f"there is no {request.url.path[:200]}{where}"))
    if error.status_code == 405:
        headers = dict(error.headers or {})
        if allowed := _allowed(request):
            headers["Allow"] = ", ".join(sorted(allowed))
        return _respond(MethodNotAllowed(f"{request.method} is not for {request.url.path[:200]}"), headers)
    return _respond(BadHeader(f"the request cannot be read: {error.detail}"))


def _allowed(request: Request) -> set[str]:
    """The methods of every documented route of a path: Starlette names those of the first alone."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    return {
        name
        for template, methods in paths.items()
        if compile_path(template)[0].match(request.url.path)
        for method, route in methods.items()
        for name in ((method.upper(), "HEAD") if method == "get" and not _is_stream(route) else (method.upper(),))
    }


def _is_stream(route: dict[str, Any]) -> bool:
    """Whether a route answers with events, which have no HEAD: their GET does not end while their job runs."""
    return EVENTS in route["responses"]["200"].get("content", {})


@dataclass(frozen=True)
class FaultBarrier:
    """ASGI middleware that answers what other middleware refuses, and what nobody foresaw.

    A handler for Exception would do so too, but Starlette then raises it once more, and the
    server drops the connection that a client may already be using for its next request.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; log what it raises, and answer if nothing was sent yet."""
        begun = False

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, note)
        except asyncio.CancelledError:  # This server stops, and its grace for those who wait is over.
            if scope["type"] != "http" or begun:
                raise
            leaving = Leaving("this server is being replaced; ask again", retry_after_s=RETRY_AFTER_S)
            await (await _service_error(Request(scope), leaving))(scope, receive, send)
        except ServiceError as error:
            if begun:
                raise
            await (await _service_error(Request(scope), error))(scope, receive, send)
        except ClientDisconnect:
            log.debug("%s %s: the client hung up", scope["method"], scope["path"])
        except Exception as error:
            if scope["type"] != "http" or begun:
                raise
            log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            await _respond(Internal("an internal error, which our log holds"))(scope, receive, send)


def _field_error(found: ErrorDetails, request: Request) -> FieldError:
    location, *path = (str(part) for part in found["loc"])
    field = ".".join(path) or location
    if found["type"] == "extra_forbidden":
        return FieldError(field, location, unknown(request))
    return FieldError(field, location, with_value(found))
