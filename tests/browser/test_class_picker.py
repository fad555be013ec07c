"""Owns the laws of the choice of a class: what is typed is taken or visibly refused, out of ten or a thousand."""

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Visit, Visitor
from tests.browser.facts import told_of
from tests.e2e.conftest import Site

if TYPE_CHECKING:
    from playwright.sync_api import Locator

COUNT = 1000
KINDS = {"mnist-28": {"num_classes": COUNT, "class_names": [f"kind {index}" for index in range(COUNT)]}}


@pytest.fixture
def chooser(visit: Visit, bundled: Site) -> Visitor:
    """Somebody with a thousand classes to choose from."""
    visitor = visit("about:blank")
    told_of(visitor, bundled, KINDS)
    return visitor


def field(visitor: Visitor) -> "Locator":
    """Where the class is chosen."""
    return visitor.view.get_by_role("combobox", name="Class")


def test_a_class_that_is_typed_is_taken_without_another_key(chooser: Visitor) -> None:
    for typed in ("kind 7", "KIND 42", "421", " kind 421 (421) "):
        field(chooser).fill(typed)
        chooser.page.get_by_label("Seed", exact=True).focus()
        (number,) = set(re.findall(r"\d+", typed))
        assert field(chooser).input_value() == f"kind {number} ({number})"
    with chooser.page.expect_request("**/generate*") as asked:
        chooser.refuse("**/generate*", 422)
        chooser.generate()
    assert "class=421" in asked.value.url


def test_words_that_mean_no_class_are_refused_in_words(visitor: Visitor) -> None:
    for key in ("Tab", "Enter"):
        visitor.choose_class("7")
        field(visitor).fill("cat")
        visitor.page.keyboard.press(key)
        assert field(visitor).input_value() == "7"
        assert visitor.view.get_by_text("“cat” is no class of this model: it stays 7.").is_visible()
        visitor.choose_class("3")
        assert visitor.view.get_by_text("is no class of this model").count() == 0


def test_a_press_that_finds_words_refused_makes_nothing_and_the_next_does(visitor: Visitor) -> None:
    asked: list[str] = []
    visitor.page.on("request", lambda request: asked.append(request.url))
    visitor.choose_class("7")
    field(visitor).fill("cat")
    visitor.generate()
    assert visitor.view.get_by_text("“cat” is no class of this model: it stays 7.").is_visible()
    assert not [url for url in asked if "/generate" in url]
    visitor.generate()
    visitor.await_picture()
    assert [url for url in asked if "/generate?" in url and "class=7" in url]


def test_an_empty_field_means_no_class(visitor: Visitor) -> None:
    field(visitor).fill("")
    visitor.page.keyboard.press("Tab")
    assert field(visitor).input_value() == "No class"


def test_escape_leaves_the_class_as_it_was(visitor: Visitor) -> None:
    visitor.choose_class("7")
    field(visitor).fill("3")
    visitor.page.keyboard.press("Escape")
    visitor.page.keyboard.press("Tab")
    assert field(visitor).input_value() == "7"


def test_a_search_says_how_many_it_finds_and_puts_the_one_that_is_named_first(chooser: Visitor) -> None:
    assert chooser.view.get_by_text("1,000 classes", exact=True).is_visible()
    field(chooser).fill("99")
    found = [f"kind {index} ({index})" for index in range(COUNT) if "99" in str(index)]
    assert chooser.view.get_by_text(f"{len(found)} of 1,000 classes", exact=True).is_visible()
    assert chooser.view.get_by_role("listbox").get_by_role("option").all_text_contents() == found
    chooser.picture("classes")
    chooser.page.keyboard.press("Enter")
    assert field(chooser).input_value() == "kind 99 (99)"


def test_the_keyboard_reaches_every_class(chooser: Visitor) -> None:
    field(chooser).click()
    keys = chooser.page.keyboard
    assert chooser.view.get_by_role("listbox").get_by_role("option").count() == 1 + COUNT
    for key in ("ArrowUp", "ArrowUp", "PageUp", "ArrowDown"):
        keys.press(key)
    pointed = chooser.page.locator(f"#{field(chooser).get_attribute('aria-activedescendant')}")
    assert pointed.inner_text() == "kind 990 (990)"
    keys.press("Tab")
    assert field(chooser).input_value() == "kind 990 (990)"


def test_a_class_is_chosen_with_a_finger(visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, has_touch=True)
    visitor.await_state("ready")
    field(visitor).tap()
    visitor.view.get_by_role("listbox").get_by_role("option", name="8", exact=True).tap()
    assert field(visitor).input_value() == "8"


def test_another_model_keeps_the_class_of_that_name(visit: Visit, bundled: Site) -> None:
    visitor = visit("about:blank")
    names = {"mnist-28": ["cat", "dog"], "mnist-28-density": ["owl", "cat"]}
    told_of(visitor, bundled, {model: {"num_classes": 2, "class_names": each} for model, each in names.items()})
    visitor.choose_class("cat")
    visitor.view.get_by_label("Model").select_option("mnist-28-density")
    assert field(visitor).input_value() == "cat (1)"
