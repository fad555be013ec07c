"""Owns the laws of who can use the page: with a keyboard alone, with a screen reader, on a phone, in either theme."""

from pathlib import Path

import pytest

from tests.browser.conftest import Visit, Visitor
from tests.e2e.conftest import Site

VIEWS = ("generate", "sweeps", "score", "back")
SERIOUS = ("serious", "critical")
PHONE = {"width": 360, "height": 740}
FOCUSED = "document.activeElement.id || document.activeElement.textContent.trim()"


def serious(visitor: Visitor) -> list[tuple[str, list[str]]]:
    """What axe finds, by its name and the markup."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(visitor.page).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found if each["impact"] in SERIOUS]


def show(visitor: Visitor, view: str) -> None:
    """Go to a view by its address."""
    visitor.page.evaluate(f"location.hash = '{view}'")
    visitor.page.wait_for_selector(f"#{view}:not([hidden])")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious(view: str, theme: str, visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, color_scheme=theme)
    visitor.await_state("ready")
    show(visitor, view)
    visitor.picture(f"{view}-{theme}")
    assert serious(visitor) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_what_was_found(theme: str, visit: Visit, bundled: Site, seven: Path) -> None:
    visitor = visit(bundled.http.base_url, color_scheme=theme)
    visitor.await_state("ready")
    visitor.go("Score")
    visitor.page.set_input_files("#score-files", [seven, seven])
    visitor.page.locator(".findings").wait_for()
    assert serious(visitor) == []
    visitor.go("There and back")
    for end in ("#end-a input", "#end-b input"):
        visitor.page.set_input_files(end, seven)
    for button, panel in (("Encode and decode", "trip"), ("Find the way", "between"), ("Verify", "verify")):
        visitor.press(button)
        visitor.page.locator(f"#{panel}-out > *").first.wait_for()
    visitor.view.get_by_role("combobox", name="Encode under").fill("nothing")
    visitor.page.keyboard.press("Tab")
    assert serious(visitor) == []
    visitor.picture(f"found-{theme}")


@pytest.mark.parametrize("view", VIEWS)
def test_on_a_phone_nothing_reaches_beyond_the_edge(view: str, visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, viewport=PHONE)
    visitor.await_state("ready")
    show(visitor, view)
    visitor.picture(f"{view}-phone")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_on_a_phone_the_strip_is_one_line(visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, viewport=PHONE)
    visitor.await_state("ready")
    strip = visitor.page.locator(".strip")
    tops = strip.locator("> :visible").evaluate_all("cells => cells.map(cell => cell.getBoundingClientRect().top)")
    assert len(tops) == 5
    assert len(set(tops)) == 1
    assert strip.evaluate("strip => strip.scrollWidth") <= PHONE["width"]


def test_a_picture_is_made_with_the_keyboard_alone(visitor: Visitor) -> None:
    page, keys = visitor.page, visitor.page.keyboard

    def tab_to(name: str) -> None:
        for _ in range(40):
            if page.evaluate(FOCUSED) == name:
                return
            keys.press("Tab")
        pytest.fail(f"the keyboard never came to {name!r}")

    tab_to("model")
    keys.press("Tab")
    keys.type("7")
    keys.press("Enter")
    tab_to("Generate")
    keys.press("Enter")
    visitor.await_picture()
    tab_to("Variations")
    keys.press("Enter")
    page.wait_for_selector("#stage .many")
    assert page.locator("#stage .many img").first.get_attribute("alt").startswith("A picture of 7, ")  # type: ignore[union-attr]


def test_the_theme_that_is_chosen_is_kept(visitor: Visitor) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = visitor.page.evaluate(paper)
    for _ in range(2):
        visitor.page.locator("#theme").click()
    dark = visitor.page.evaluate(paper)
    assert dark != light
    visitor.page.reload()
    assert visitor.page.evaluate(paper) == dark
