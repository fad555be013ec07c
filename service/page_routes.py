"""The routes of the pages: `/`, `/docs`, and the files that they are made of.

Owns their paths. Knows nothing of what the files say.
"""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.errors import UnknownRoute
from service.house import TheHouse

router = APIRouter(include_in_schema=False)

READ = ["GET", "HEAD"]


@router.api_route("/", methods=READ)
@router.api_route("/static/{name}", methods=READ)
@router.api_route("/docs", methods=READ)
@router.api_route("/docs/{name}", methods=READ)
async def page_file(request: Request, house: TheHouse) -> Response:
    """A page, or a file that it needs."""
    file = house.files.get(request.url.path)
    if file is None:
        raise UnknownRoute(f"there is no {request.url.path[:200]} (TARFLOW_PAGE, TARFLOW_DOCS)")
    return file.answer(request.headers)
