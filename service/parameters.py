"""What holds of the query of every route: nothing unknown, nothing twice.

Owns the checks of a URL's parameters as a whole. Knows nothing of what they mean.
"""

from fastapi import Depends, Request

from service.errors import FieldError, InvalidInput

UNKNOWN = "is unknown; /docs lists the parameters"
LONGEST_NAME = 100


async def said_once(request: Request) -> None:
    """Raise InvalidInput where a parameter is given twice: one of them would be passed over."""
    for name in request.query_params:
        if len(request.query_params.getlist(name)) > 1:
            raise InvalidInput.of(name[:LONGEST_NAME], "query", "is given more than once")


async def none_at_all(request: Request) -> None:
    """Raise InvalidInput where there is a parameter: for routes that have none."""
    errors = tuple(FieldError(name[:LONGEST_NAME], "query", UNKNOWN) for name in request.query_params)
    if errors:
        raise InvalidInput("; ".join(f"{each.field}: {each.message}" for each in errors), errors)


BARE = [Depends(none_at_all)]
