"""The files of the pages, `/` and `/docs`: read once, sent from memory.

Owns which there are, their types and their tags. Knows nothing of what they say.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import Response
from starlette.datastructures import Headers

from service.content_negotiation import has_already
from service.settings import ServiceSettings

PAGE, PAGE_FOLDER, DOCUMENTATION = "/", "/static/", "/docs"
FRONT = "index.html"
SCHEMA_PATH = "/openapi.json"
TITLE = "TarFlow"
SWAGGER_SCRIPT, SWAGGER_STYLE = "swagger-ui-bundle.js", "swagger-ui.css"
TEXT = ("text/", "image/svg")


@dataclass(frozen=True)
class StaticFile:
    """One file and its media type."""

    content: bytes
    media_type: str

    @cached_property
    def compressed(self) -> bytes:
        """The content in gzip, the same in every process."""
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def digest(self) -> str:
        """What changes with the content."""
        return hashlib.sha256(self.content).hexdigest()[:32]

    def answer(self, headers: Headers) -> Response:
        """The file as a client with these headers wants it, or 304 where it has it."""
        gzipped = "gzip" in headers.get("accept-encoding", "") and self.media_type.startswith(TEXT)
        tag = f'"{self.digest}{"-gzip" if gzipped else ""}"'
        told = {"ETag": tag, "Vary": "Accept-Encoding"}
        if has_already(headers.get("if-none-match"), tag, exists=True):
            return Response(status_code=304, headers=told)
        if gzipped:
            told["Content-Encoding"] = "gzip"
        return Response(self.compressed if gzipped else self.content, headers=told, media_type=self.media_type)


def static_files(settings: ServiceSettings) -> Mapping[str, StaticFile]:
    """Every file that these settings let be seen, by its path."""
    found: dict[str, StaticFile] = {}
    if settings.page:
        found |= {PAGE_FOLDER + each.name: _read(each) for each in (files("service") / "static").iterdir()}
        found[PAGE] = found.pop(PAGE_FOLDER + FRONT)
    if settings.docs:
        # A package that carries Swagger UI, so that no other host is asked for it.
        swagger = files("fastapi_offline") / "static"
        for name in (SWAGGER_SCRIPT, SWAGGER_STYLE):
            found[f"{DOCUMENTATION}/{name}"] = _read(swagger / name)
        found[f"{DOCUMENTATION}/icon.svg"] = _read(files("service") / "static" / "icon.svg")
        found[DOCUMENTATION] = StaticFile(_documentation().encode(), "text/html; charset=utf-8")
    return found


def _documentation() -> str:
    """Swagger UI's page, with nothing in it from elsewhere."""
    page = get_swagger_ui_html(
        openapi_url=SCHEMA_PATH,
        title=f"{TITLE} - Swagger UI",
        swagger_js_url=f"{DOCUMENTATION}/{SWAGGER_SCRIPT}",
        swagger_css_url=f"{DOCUMENTATION}/{SWAGGER_STYLE}",
        swagger_favicon_url=f"{DOCUMENTATION}/icon.svg",
    )
    return bytes(page.body).decode()


def _read(file: Traversable) -> StaticFile:
    # Some machines' tables call a module text/plain, which browsers then refuse to run.
    media_type = "text/javascript" if file.name.endswith(".js") else mimetypes.guess_type(file.name)[0] or ""
    return StaticFile(
        file.read_bytes(), f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
    )
