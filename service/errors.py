"""Everything that can be answered instead of a result, and its HTTP status.

Owns the error tree, the one table from error to status, and the body they all share
(RFC 9457). Knows nothing of routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field: where it was given, and the limit it broke."""

    field: str
    location: str
    message: str

    def to_json(self) -> dict[str, str]:
        """As an entry of a problem's `errors`."""
        return {"field": self.field, "in": self.location, "message": self.message}


class ServiceError(Exception):
    """An answer that is not a result; `detail` is for people and safe to show, `headers` go with it."""

    def __init__(
        self,
        detail: str,
        errors: tuple[FieldError, ...] = (),
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail, self.errors, self.retry_after_s, self.headers = detail, errors, retry_after_s, headers or {}


class BadHeader(ServiceError):
    """A header that cannot be understood."""


class Unauthorized(ServiceError):
    """No API key, or none that is known."""


class UnknownJob(ServiceError):
    """No such job, or its result has expired."""


class UnknownModel(ServiceError):
    """A model this service does not offer."""


class UnknownRoute(ServiceError):
    """No such path."""


class MethodNotAllowed(ServiceError):
    """The path does not know this method."""


class NotAcceptable(ServiceError):
    """None of the types the client accepts can be made."""


class BodyTooSlow(ServiceError):
    """The request's body did not arrive in time."""


class ResultNotReady(ServiceError):
    """The job has not ended yet."""


class JobCancelled(ServiceError):
    """The job was cancelled and has no result."""


class BodyTooLarge(ServiceError):
    """The request's body is over the limit."""


class UnsupportedType(ServiceError):
    """The request's body is of a type that is not read."""


class InvalidInput(ServiceError):
    """A value out of range, an unknown name or parameter, or bytes that are no image."""

    @classmethod
    def of(cls, field: str, location: str, message: str) -> "InvalidInput":
        """One field is wrong."""
        return cls(f"{field}: {message}", (FieldError(field, location, message),))


class KeyReused(ServiceError):
    """An idempotency key came with another request than the first time."""


class JobEnded(ServiceError):
    """The job is past being cancelled."""


class QueueFull(ServiceError):
    """There is no room for the job; nothing was accepted."""


class RateLimited(ServiceError):
    """The client has asked for more than its share; nothing was accepted."""


class JobFailed(ServiceError):
    """The job was run and failed."""


class RedisAway(ServiceError):
    """The queue cannot be reached; nothing was accepted."""


class NoWorker(ServiceError):
    """No live worker could do the job; nothing was accepted."""


class Leaving(ServiceError):
    """This server stops before the answer is there; a job goes on, and its key finds it again."""


class Internal(ServiceError):
    """A fault of ours; its text stays in our log."""


STATUS: Mapping[type[ServiceError], tuple[int, str]] = {
    BadHeader: (400, "Bad header"),
    Unauthorized: (401, "Unauthorized"),
    UnknownJob: (404, "Unknown job"),
    UnknownModel: (404, "Unknown model"),
    UnknownRoute: (404, "Unknown route"),
    MethodNotAllowed: (405, "Method not allowed"),
    NotAcceptable: (406, "Not acceptable"),
    BodyTooSlow: (408, "Body too slow"),
    ResultNotReady: (409, "Result not ready"),
    JobCancelled: (409, "Job cancelled"),
    JobEnded: (409, "Job ended"),
    BodyTooLarge: (413, "Body too large"),
    UnsupportedType: (415, "Unsupported type"),
    InvalidInput: (422, "Invalid input"),
    KeyReused: (422, "Idempotency key reused"),
    QueueFull: (429, "Queue full"),
    RateLimited: (429, "Rate limited"),
    JobFailed: (500, "Job failed"),
    Internal: (500, "Internal error"),
    RedisAway: (503, "Queue unavailable"),
    NoWorker: (503, "No worker"),
    Leaving: (503, "Server leaving"),
}


def status_of(error: ServiceError) -> int:
    """The HTTP status of an error."""
    return STATUS[type(error)][0]


def problem(error: ServiceError) -> dict[str, Any]:
    """The body of an error's answer."""
    status, title = STATUS[type(error)]
    body: dict[str, Any] = {
        "type": "urn:tarflow:problem:" + title.lower().replace(" ", "-"),
        "title": title,
        "status": status,
        "detail": error.detail,
    }
    if error.errors:
        body["errors"] = [each.to_json() for each in error.errors]
    return body
