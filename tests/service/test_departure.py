"""Owns the laws of a client that waits: whether it is still there, however long it would wait."""

import asyncio

import pytest
from fastapi import Request
from starlette.types import Message, Receive

from service.departure import hung_up
from service.errors import BodyTooLarge


async def gone() -> Message:
    """The connection is closed."""
    return {"type": "http.disconnect"}


async def there() -> Message:
    """Nothing comes."""
    await asyncio.Event().wait()
    raise AssertionError


async def sending() -> Message:
    """A body comes that nobody asked for."""
    return {"type": "http.request", "body": b"seven", "more_body": False}


async def sending_too_much() -> Message:
    """A body comes that may not."""
    raise BodyTooLarge("body: may have at most 1 byte")


def left(receive: Receive, wait_s: float, ended: bool = False) -> bool:
    """Whether a client is seen to have left."""

    async def look() -> bool:
        end = asyncio.Event()
        if ended:
            end.set()
        return await hung_up(Request({"type": "http"}, receive), end, wait_s)

    return asyncio.run(look())


@pytest.mark.parametrize("wait_s", [0, 30])
def test_a_client_that_is_gone_has_left_whether_it_would_wait_or_not(wait_s: float) -> None:
    assert left(gone, wait_s)


@pytest.mark.parametrize("receive", [there, sending, sending_too_much])
def test_a_client_that_does_not_wait_has_not_left(receive: Receive) -> None:
    assert not left(receive, wait_s=0)


def test_a_client_whose_job_has_ended_has_not_left() -> None:
    assert not left(gone, wait_s=30, ended=True)
