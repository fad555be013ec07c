"""Owns the laws of the sweeps: one noise, one dial turned, and nothing offered that would teach nothing."""

import re

from tests.browser.conftest import Visit, Visitor
from tests.browser.facts import told_of
from tests.e2e.conftest import Site

GUIDANCES = ["0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"]


def test_a_sweep_of_guidance_keeps_the_noise(visitor: Visitor) -> None:
    visitor.go("Sweeps")
    visitor.choose_class("3")
    visitor.page.get_by_label("Noise (seed)").fill("5")
    visitor.press("Turn guidance from 0 to 4")
    pictures = visitor.page.locator(".sweep img")
    pictures.nth(len(GUIDANCES) - 1).wait_for()
    assert visitor.page.locator(".sweep li > span").all_text_contents() == GUIDANCES
    assert {image.get_attribute("alt") for image in pictures.all()} == {"A picture of 3, seed 5"}
    assert len({image.get_attribute("src") for image in pictures.all()}) == len(GUIDANCES)


def test_a_sweep_of_classes_has_every_class(visitor: Visitor) -> None:
    visitor.go("Sweeps")
    visitor.press("Draw every class")
    visitor.page.locator(".sweep img").nth(9).wait_for()
    assert visitor.page.locator(".sweep li > span").all_text_contents() == [str(digit) for digit in range(10)]
    visitor.picture("sweeps")


def test_without_a_seed_one_noise_is_drawn_for_all_and_shown(visitor: Visitor) -> None:
    visitor.go("Sweeps")
    seed = visitor.page.get_by_label("Noise (seed)")
    seed.fill("")
    visitor.press("Turn guidance from 0 to 4")
    pictures = visitor.page.locator(".sweep img")
    pictures.nth(len(GUIDANCES) - 1).wait_for()
    assert re.fullmatch(r"\d+", drawn := seed.input_value())
    assert {image.get_attribute("alt") for image in pictures.all()} == {f"A picture of 0, seed {drawn}"}


def test_a_sweep_that_waits_says_so(visitor: Visitor) -> None:
    visitor.refuse("**/generate?*", 429, retry_after_s=600, title="Rate limited")
    visitor.go("Sweeps")
    visitor.press("Draw every class")
    visitor.view.get_by_text("Rate limited. Trying again in 600 s.").wait_for()


def test_a_sweep_that_is_cancelled_says_so_and_gives_the_focus_back(visitor: Visitor) -> None:
    visitor.refuse("**/generate?*", 429, retry_after_s=600, title="Rate limited")
    visitor.go("Sweeps")
    visitor.press("Draw every class")
    visitor.view.get_by_text("Trying again").wait_for()
    visitor.press("Cancel")
    assert visitor.page.locator("#sweeps-words").inner_text() == "Cancelled."
    assert visitor.page.evaluate("document.activeElement.value") == "guidance"


def test_a_sweep_that_is_cancelled_keeps_no_empty_places(visitor: Visitor) -> None:
    visitor.page.route(
        "**/generate?*", lambda route: route.continue_() if "guidance=0&" in route.request.url + "&" else None
    )
    visitor.go("Sweeps")
    visitor.press("Turn guidance from 0 to 4")
    visitor.page.locator(".sweep img").wait_for()
    visitor.press("Cancel")
    visitor.view.get_by_text("Broken off after 1 of 9 pictures.").wait_for()
    assert visitor.page.locator(".sweep li").count() == 1


def test_there_is_no_sweep_without_a_class_for_guidance_would_change_nothing(visitor: Visitor) -> None:
    visitor.go("Sweeps")
    visitor.view.get_by_role("combobox", name="Class").click()
    offered = visitor.view.get_by_role("listbox").get_by_role("option")
    assert offered.all_text_contents() == [str(digit) for digit in range(10)]


def test_a_model_without_classes_has_no_dial_to_turn(visit: Visit, bundled: Site) -> None:
    visitor = visit("about:blank")
    told_of(visitor, bundled, {"mnist-28": {"num_classes": 0, "class_names": []}})
    visitor.go("Sweeps")
    assert visitor.page.get_by_text("This model has no classes").is_visible()
    assert [button.is_disabled() for button in visitor.view.locator("[type=submit]").all()] == [True, True]
    visitor.page.get_by_label("Model").nth(1).select_option("mnist-28-density")
    assert [button.is_disabled() for button in visitor.view.locator("[type=submit]").all()] == [False, False]
