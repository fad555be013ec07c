"""Owns the laws of the pages' files: whole, of the right type, kept until they change, and nothing beside them."""

import gzip
import re
from pathlib import Path

import httpx
import pytest

from tests.service.problem_answers import problem_of

STATIC = Path(__file__).parents[2] / "service" / "static"
FILES = sorted(file.name for file in STATIC.iterdir() if file.name != "index.html")
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
MODULES = [name for name in FILES if name.endswith(".js")]
IMPORTED = re.compile(r'\b(?:from|import) "\./([\w.]+)"')
LARGEST_PAGE_BYTES = 150_000


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_is_a_page(path: str, api: httpx.Client) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_sent_as_it_is(name: str, api: httpx.Client) -> None:
    answer = api.get(f"/static/{name}")
    assert answer.content == (STATIC / name).read_bytes()
    assert answer.headers["Content-Type"] == TYPES[Path(name).suffix]


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_names_is_there(name: str) -> None:
    assert set(IMPORTED.findall((STATIC / name).read_text())) <= set(FILES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_first_what_it_owns(name: str) -> None:
    opening = (STATIC / name).read_text().partition("\n\n")[0]
    assert opening.startswith("// ")
    assert "Owns " in opening


def test_the_page_is_small() -> None:
    assert sum((STATIC / name).stat().st_size for name in (*FILES, "index.html")) < LARGEST_PAGE_BYTES


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/docs", "/docs/swagger-ui-bundle.js"])
def test_who_has_a_file_is_told_so(path: str, api: httpx.Client) -> None:
    first = api.get(path)
    again = api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "private, no-cache"


def test_a_file_is_sent_compressed_to_who_can_read_that(api: httpx.Client) -> None:
    plain = api.get("/static/page.css", headers={"Accept-Encoding": "identity"})
    with api.stream("GET", "/static/page.css", headers={"Accept-Encoding": "gzip"}) as answer:
        sent = b"".join(answer.iter_raw())
    assert gzip.decompress(sent) == plain.content
    assert answer.headers["ETag"] != plain.headers["ETag"]
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", ["/static/", "/static/index.html", "/static/..%2Fapp.py", "/docs/redoc.standalone.js"])
def test_there_is_nothing_beside_them(path: str, api: httpx.Client) -> None:
    problem_of(api.get(path), 404)
