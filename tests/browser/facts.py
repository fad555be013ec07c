"""The page of a live service whose models are told of otherwise: more classes, other names, fewer models.

Owns what the page is told. Knows no law.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.browser.conftest import Visitor
from tests.e2e.conftest import Site

if TYPE_CHECKING:
    from playwright.sync_api import Route


def told_of(visitor: Visitor, site: Site, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Open the page with these facts changed, by the model's name; a model of no facts is not there."""

    def tell(route: "Route") -> None:
        models = site.http.get("/models").json()["models"]
        kept = [each for each in models if changes.get(each["name"], {}) is not None]
        route.fulfill(json={"models": [{**each, **(changes.get(each["name"]) or {})} for each in kept]})

    visitor.page.route("**/models", tell)
    visitor.page.goto(str(site.http.base_url))
    visitor.await_state("ready")
