"""What holds of the query of every route: nothing unknown, nothing twice.

Owns the checks of a URL's parameters as a whole. Knows nothing of what they mean.
"""

from fastapi import Depends, Request

from service.errors import FieldError, InvalidInput
from service.house import House

LONGEST_NAME = 100


def documented(request: Request) -> bool:
    """Whether there is a page to read on."""
    house: House = request.app.state.house
    return house.settings.docs


def unknown(request: Request) -> str:
    """What is said of a parameter that is none."""
    return "is unknown; /docs lists the parameters" if documented(request) else "is unknown"


async def said_once(request: Request) -> None:
    """Raise InvalidInput where a parameter is given twice: one of them would be passed over."""
    for name in request.query_params:
        if len(request.query_params.getlist(name)) > 1:
            raise InvalidInput.of(name[:LONGEST_NAME], "query", "is given more than once")


async def none_at_all(request: Request) -> None:
    """Raise InvalidInput where there is a parameter: for routes that have none."""
    errors = tuple(FieldError(name[:LONGEST_NAME], "query", unknown(request)) for name in request.query_params)
    if errors:
        raise InvalidInput("; ".join(f"{each.field}: {each.message}" for each in errors), errors)


BARE = [Depends(none_at_all)]
