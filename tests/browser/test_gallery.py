"""Owns the laws of the gallery: which pictures are kept, in which order, and how one of them is looked at."""

import pytest

from tests.browser.conftest import Visit, Visitor
from tests.e2e.conftest import Site

GALLERY = "#gallery-grid img"


def test_the_gallery_outlives_the_page_until_it_is_cleared(visitor: Visitor) -> None:
    visitor.generate()
    visitor.await_picture()
    page = visitor.page
    page.reload()
    page.wait_for_selector(GALLERY)
    assert page.locator(GALLERY).count() == 1
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_role("button", name="Clear it").click()
    page.wait_for_selector(GALLERY, state="detached")
    page.reload()
    visitor.await_state("ready")
    assert page.locator(GALLERY).count() == 0


def test_who_presses_enter_twice_keeps_the_gallery(visitor: Visitor) -> None:
    visitor.generate()
    visitor.await_picture()
    visitor.page.get_by_role("button", name="Clear", exact=True).press("Enter")
    visitor.page.keyboard.press("Enter")
    visitor.page.get_by_role("dialog").wait_for(state="hidden")
    assert visitor.page.locator(GALLERY).count() == 1


def test_a_picture_of_the_gallery_is_shown_with_its_settings(visitor: Visitor) -> None:
    visitor.page.get_by_label("Seed", exact=True).fill("41")
    visitor.generate()
    visitor.await_picture()
    visitor.page.locator(GALLERY).click()
    dialog = visitor.page.get_by_role("dialog")
    assert dialog.locator("dd").all_text_contents()[:4] == ["mnist-28", "0", "2", "41"]
    visitor.picture("detail")


def test_the_gallery_keeps_its_order(visitor: Visitor) -> None:
    visitor.page.get_by_label("Seed", exact=True).fill("8")
    visitor.page.get_by_label("Pictures", exact=True).fill("4")
    visitor.generate()
    names = visitor.page.locator("#gallery-grid button")
    names.nth(3).wait_for()
    before = [name.get_attribute("aria-label") for name in names.all()]
    assert before == [f"0, seed {seed}" for seed in range(8, 12)]
    visitor.page.reload()
    names.nth(3).wait_for()
    assert [name.get_attribute("aria-label") for name in names.all()] == before


def test_arrows_go_from_picture_to_picture_in_the_dialog(visitor: Visitor) -> None:
    visitor.page.get_by_label("Seed", exact=True).fill("8")
    visitor.page.get_by_label("Pictures", exact=True).fill("3")
    visitor.generate()
    visitor.page.locator(GALLERY).nth(2).wait_for()
    visitor.page.locator(GALLERY).first.click()
    for seed in (9, 10):
        visitor.page.keyboard.press("ArrowRight")
        assert visitor.page.locator("#detail h2").inner_text() == f"0, seed {seed}"


def test_a_picture_that_is_removed_leaves_the_focus_in_the_gallery(visitor: Visitor) -> None:
    visitor.page.get_by_label("Pictures", exact=True).fill("2")
    visitor.generate()
    visitor.page.locator(GALLERY).nth(1).wait_for()
    visitor.page.locator(GALLERY).first.click()
    visitor.press("Remove")
    visitor.page.wait_for_selector("#gallery-grid button:focus")


def test_a_picture_that_stays_in_the_gallery_is_not_drawn_anew(visitor: Visitor) -> None:
    visitor.generate()
    visitor.page.wait_for_selector(GALLERY)
    first = visitor.page.locator(GALLERY).element_handle()
    visitor.generate()
    visitor.page.locator(GALLERY).nth(1).wait_for()
    assert first.evaluate("image => image.isConnected")


@pytest.mark.parametrize("trouble", ["full", "closed"])
def test_of_pictures_that_cannot_be_stored_it_is_said_that_they_are_not_kept(
    trouble: str, visit: Visit, bundled: Site
) -> None:
    visitor = visit("about:blank")
    visitor.page.add_init_script(TROUBLES[trouble])
    visitor.page.goto(str(bundled.http.base_url))
    visitor.await_state("ready")
    visitor.generate()
    visitor.page.wait_for_selector(GALLERY)
    visitor.view.get_by_text("1 here; new ones are not kept").wait_for()


# A browser that has no room left, and one that closes its database.
TROUBLES = {
    "full": """(() => {
        const { put } = IDBObjectStore.prototype;
        IDBObjectStore.prototype.put = function (value) {
            const request = put.call(this, value);
            request.addEventListener("success", () => this.transaction.abort());
            return request;
        };
    })()""",
    "closed": """(() => {
        const { open } = IDBFactory.prototype;
        IDBFactory.prototype.open = function (...given) {
            const request = open.apply(this, given);
            request.addEventListener("success", () => setTimeout(() => request.result.close()));
            return request;
        };
    })()""",
}
