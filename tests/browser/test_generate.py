"""Owns the laws of the view that makes pictures: what a visitor sees, and what stays."""

import re

import httpx

from tests.browser.conftest import Visit, Visitor
from tests.browser.facts import told_of
from tests.e2e.conftest import Launcher, Site

GALLERY = "#gallery-grid img"
LARGEST_PAGE_BYTES = 150_000


def test_a_picture_forms_block_by_block(visitor: Visitor) -> None:
    visitor.choose_class("7")
    visitor.generate()
    visitor.await_picture()
    page = visitor.page
    assert page.locator("#stage .film img").count() == 4
    frames = [image.get_attribute("src") for image in page.locator("#stage .film img").all()]
    assert len(set(frames)) == 4
    assert page.locator("#stage [data-canvas] img").get_attribute("alt").startswith("A picture of 7, seed ")  # type: ignore[union-attr]
    visitor.picture("generate")


def test_the_same_settings_make_the_same_picture(visitor: Visitor) -> None:
    visitor.generate()
    visitor.await_picture()
    first = visitor.page.locator("#stage [data-canvas] img").get_attribute("src")
    visitor.page.get_by_role("button", name="Make again").click()
    visitor.page.wait_for_selector("#stage [data-canvas] img[alt^='A picture of']")
    visitor.await_picture()
    assert visitor.page.locator("#stage [data-canvas] img").get_attribute("src") == first


def make_under(visitor: Visitor, model: str, guidance: str) -> str | None:
    """Make an eight under a model with a guidance of one's own; its source."""
    visitor.view.get_by_label("Model").select_option(model)
    visitor.choose_class("8")
    visitor.page.get_by_label("Guidance", exact=True).fill(guidance)
    visitor.generate()
    visitor.await_picture()
    return visitor.page.locator("#stage [data-canvas] img").get_attribute("src")


def test_what_is_made_again_has_the_model_and_every_setting_of_the_picture(visitor: Visitor) -> None:
    first = make_under(visitor, "mnist-28", "1.5")
    visitor.view.get_by_label("Model").select_option("mnist-28-density")
    assert visitor.page.locator("#denoise").is_disabled()
    visitor.page.locator(GALLERY).click()
    visitor.press("Make again")
    visitor.await_picture()
    assert visitor.page.locator("#stage [data-canvas] img").get_attribute("src") == first
    dials = [visitor.page.locator(each).first for each in ("#model", "#class input", "#guidance")]
    assert [dial.input_value() for dial in dials] == ["mnist-28", "8", "1.5"]
    assert visitor.page.locator("#denoise").is_enabled()


def test_of_a_picture_whose_model_is_gone_it_is_said(visitor: Visitor, bundled: Site) -> None:
    make_under(visitor, "mnist-28", "1.5")
    told_of(visitor, bundled, {"mnist-28": None})
    for button in ("Make again", "Variations", "Score this", "There and back"):
        visitor.go("Generate")
        visitor.page.locator(GALLERY).click()
        visitor.press(button)
        visitor.view.get_by_text("mnist-28, which made this picture, is not served now.").wait_for()
        assert visitor.view.get_by_label("Model").first.input_value() == "mnist-28-density"


def test_variations_are_the_next_seeds(visitor: Visitor) -> None:
    visitor.page.get_by_label("Seed", exact=True).fill("41")
    visitor.generate()
    visitor.await_picture()
    visitor.page.get_by_role("button", name="Variations").click()
    visitor.page.wait_for_selector("#stage .many")
    names = [image.get_attribute("alt") for image in visitor.page.locator("#stage .many img").all()]
    assert names == [f"A picture of 0, seed {seed}" for seed in range(42, 51)]
    visitor.picture("variations")


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


def test_a_picture_of_the_gallery_is_shown_with_its_settings(visitor: Visitor) -> None:
    visitor.page.get_by_label("Seed", exact=True).fill("41")
    visitor.generate()
    visitor.await_picture()
    visitor.page.locator(GALLERY).click()
    dialog = visitor.page.get_by_role("dialog")
    assert dialog.locator("dd").all_text_contents()[:4] == ["mnist-28", "0", "2", "41"]
    visitor.picture("detail")


def test_the_command_that_is_copied_makes_the_picture(visitor: Visitor) -> None:
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.generate()
    visitor.await_picture()
    visitor.page.get_by_role("button", name="Copy as curl").click()
    visitor.page.get_by_role("button", name="Copied").wait_for()
    command = str(visitor.page.evaluate("navigator.clipboard.readText()"))
    url = command.split('"')[1]
    shown = visitor.page.locator("#stage [data-canvas] img").get_attribute("src") or ""
    made = httpx.post(url, headers={"Accept": "application/json"}).json()
    assert shown.endswith(made["images"][0]["png_base64"])


def test_what_runs_can_be_cancelled(visit: Visit, launcher: Launcher, slow: str) -> None:
    with launcher.serving("--models", slow) as site:
        visitor = visit(site.http.base_url)
        visitor.await_state("ready")
        visitor.page.get_by_label("Pictures", exact=True).fill("16")
        visitor.generate()
        # Any of them: one block may be over between two looks of the browser's driver.
        visitor.page.locator("#stage [data-words]", has_text=re.compile(r"Block \d of 8")).wait_for()
        visitor.page.get_by_role("button", name="Cancel").click()
        visitor.page.get_by_text("Every picture begins as noise").wait_for()
        visitor.page.locator(".strip span", has_text="0 running").wait_for()
        assert visitor.page.locator(GALLERY).count() == 0


def test_the_page_is_small(visitor: Visitor) -> None:
    sizes = "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
    files = f"{sizes}.filter(each => each.name.includes('/static/') || each.entryType === 'navigation')"
    assert (
        0 < visitor.page.evaluate(f"{files}.reduce((sum, each) => sum + each.decodedBodySize, 0)") < LARGEST_PAGE_BYTES
    )


def test_nothing_is_asked_of_another_host(visitor: Visitor, bundled: Site) -> None:
    names = visitor.page.evaluate("performance.getEntriesByType('resource').map(each => each.name)")
    assert names
    origin = str(bundled.http.base_url)
    assert [name for name in names if not name.startswith((origin, "data:", "blob:"))] == []
