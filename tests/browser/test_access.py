"""Owns the laws of who can use the page: with a keyboard alone, with a screen reader, on a phone, in either theme."""

import re
from pathlib import Path

import pytest

from tests.browser.conftest import Visit, Visitor
from tests.e2e.conftest import Site

VIEWS = ("generate", "sweeps", "score", "back")
SERIOUS = ("serious", "critical")
# What WCAG 2.2 asks of graphics, in 1.4.11.
NON_TEXT_CONTRAST = 3.0
PHONE = {"width": 360, "height": 740}
FOCUSED = "document.activeElement.id || document.activeElement.textContent.trim()"


def serious(visitor: Visitor) -> list[tuple[str, list[str]]]:
    """What axe finds, by its name and the markup."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(visitor.page).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found if each["impact"] in SERIOUS]


def luminance(colour: str) -> float:
    """The relative luminance of `rgb(R, G, B)`, as WCAG 2.2 defines it."""
    values = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return sum(share * value for share, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


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


def test_on_a_phone_generate_is_in_sight(visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, viewport={"width": 360, "height": 640})
    visitor.await_state("ready")
    box = "each => each.getBoundingClientRect()"
    button = visitor.page.get_by_role("button", name="Generate", exact=True).evaluate(box)
    assert button["bottom"] <= visitor.page.locator("#strip").evaluate(box)["top"]


def test_the_way_to_the_content_stays_in_the_view(visitor: Visitor) -> None:
    visitor.go("Score")
    visitor.page.get_by_role("link", name="To the content").press("Enter")
    visitor.page.wait_for_selector("#score-title:focus")
    assert visitor.view.get_attribute("id") == "score"


def test_the_way_back_leads_to_the_view_before(visitor: Visitor) -> None:
    visitor.go("Score")
    visitor.page.go_back()
    visitor.page.wait_for_selector("#generate:not([hidden])")


def test_no_two_elements_have_one_id(visitor: Visitor) -> None:
    visitor.refusals_are_meant = True
    for view, seed, button in (("Generate", "Seed", "Generate"), ("Sweeps", "Noise (seed)", "Draw every class")):
        visitor.go(view)
        visitor.view.get_by_label(seed, exact=True).fill("x")
        visitor.press(button)
        visitor.view.locator(".field-problem").wait_for()
    ids = visitor.page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_bar_of_the_histogram_can_be_seen(theme: str, visit: Visit, bundled: Site, seven: Path) -> None:
    visitor = visit(bundled.http.base_url, color_scheme=theme)
    visitor.await_state("ready")
    visitor.go("Score")
    visitor.page.set_input_files("#score-files", seven)
    bars = visitor.page.locator(".histogram path")
    bars.last.wait_for()
    paper = luminance(visitor.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    for fill in bars.evaluate_all("all => all.map(bar => getComputedStyle(bar).fill)"):
        dark, bright = sorted((paper, luminance(fill)))
        assert (bright + 0.05) / (dark + 0.05) >= NON_TEXT_CONTRAST


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
