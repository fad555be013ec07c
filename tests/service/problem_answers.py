"""An answer that is an error, taken apart.

Owns what every one of them must be. Knows no route.
"""

from typing import Any

import httpx

LEAKS = ("Traceback", 'File "', "site-packages", "Error(", "redis.sock")


def problem_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The body of an error of this status: a problem of RFC 9457 that leaks nothing of our house."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert not [leak for leak in LEAKS if leak in response.text]
    body: dict[str, Any] = response.json()
    assert set(body) - {"errors"} == {"type", "title", "status", "detail"}
    assert body["type"].startswith("urn:tarflow:problem:")
    assert body["status"] == status
    return body


def fields_of(response: httpx.Response) -> dict[str, str]:
    """What a 422 says of each field."""
    body = problem_of(response, 422)
    assert all(f"{error['field']}: {error['message']}" in body["detail"] for error in body["errors"])
    return {f"{error['in']} {error['field']}": error["message"] for error in body["errors"]}


def retry_after_s(response: httpx.Response) -> int:
    """When the client is told to come back: a whole number of seconds, at least 1."""
    seconds = int(response.headers["Retry-After"])
    assert seconds >= 1
    return seconds
