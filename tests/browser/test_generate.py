"""Owns the laws of the view that makes pictures: what a visitor sees, and what stays."""

import re

import httpx
import pytest

from tests.browser.conftest import Visit, Visitor
from tests.browser.facts import told_of
from tests.e2e.conftest import Site

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


def test_a_job_that_begins_anew_shows_its_new_blocks_alone(visitor: Visitor) -> None:
    frames, words = visitor.page.evaluate(RESTART)
    assert frames == ["block 1"]
    assert words.startswith("Started again. Block 1 of 4")


def test_a_new_picture_leaves_nothing_of_the_one_before_on_the_stage(visitor: Visitor) -> None:
    visitor.generate()
    visitor.await_picture()
    visitor.hold("**/generate?*")
    with visitor.page.expect_request("**/generate?*"):
        visitor.generate()
    assert visitor.page.locator("#stage img").count() == 0


def test_without_a_class_guidance_is_offered_only_where_it_does_something(visitor: Visitor) -> None:
    visitor.choose_class("No class")
    dial = visitor.page.get_by_label("Guidance", exact=True)
    assert dial.is_disabled()
    assert visitor.page.get_by_text("Without a class there is nothing to insist on").is_visible()
    visitor.page.locator("summary").click()
    visitor.page.get_by_label("Attention temperature").fill("0.5")
    assert dial.is_enabled()


def test_a_copy_button_has_its_name_again_however_often_it_was_pressed(visitor: Visitor) -> None:
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.generate()
    visitor.await_picture()
    button = visitor.page.get_by_role("button", name="Copy as curl").element_handle()
    for _ in range(2):
        button.click()
        visitor.page.get_by_role("button", name="Copied").wait_for()
    visitor.page.get_by_role("button", name="Copy as curl").wait_for()


@pytest.mark.parametrize(("dial", "typed"), [("Guidance", "1e"), ("Pictures", "-"), ("Guidance", "1,5")])
def test_what_is_no_number_is_refused_beside_its_field(dial: str, typed: str, visitor: Visitor) -> None:
    visitor.refusals_are_meant = True
    field = visitor.page.get_by_label(dial, exact=True)
    field.fill(typed)
    visitor.generate()
    visitor.page.locator(".field-problem", has_text=typed).wait_for()
    assert field.evaluate("field => field === document.activeElement")


def test_arrows_go_on_in_a_number_by_a_step(visitor: Visitor) -> None:
    field = visitor.page.get_by_label("Guidance", exact=True)
    for typed, key, stepped in (("1.2", "ArrowUp", "1.3"), ("0.3", "ArrowDown", "0.2"), ("20", "ArrowUp", "20")):
        field.fill(typed)
        field.press(key)
        assert field.input_value() == stepped
    assert visitor.page.get_by_label("Guidance slider").input_value() == "4"


def test_a_seed_that_is_left_empty_is_drawn_and_then_kept(visitor: Visitor) -> None:
    seed = visitor.page.get_by_label("Seed", exact=True)
    seed.fill("")
    visitor.generate()
    visitor.await_picture()
    assert re.fullmatch(r"\d+", drawn := seed.input_value())
    assert visitor.view.get_by_text("Kept: every press makes the same").is_visible()
    with visitor.page.expect_request("**/generate?*") as asked:
        visitor.generate()
    assert f"seed={drawn}&" in asked.value.url


def test_whoever_makes_a_picture_again_with_the_keyboard_is_led_on(visitor: Visitor) -> None:
    visitor.generate()
    visitor.await_picture()
    visitor.hold("**/generate?*")
    visitor.page.locator("#stage").get_by_role("button", name="Make again").press("Enter")
    visitor.page.wait_for_selector("#generate-cancel:focus")


def test_on_a_phone_cancel_is_in_sight(visit: Visit, bundled: Site) -> None:
    visitor = visit(bundled.http.base_url, viewport={"width": 360, "height": 800})
    visitor.await_state("ready")
    visitor.hold("**/generate?*")
    visitor.generate()
    cancel = visitor.page.get_by_role("button", name="Cancel")
    cancel.wait_for()
    assert cancel.evaluate("button => button.getBoundingClientRect().bottom < innerHeight")


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


# The frames and the words of a stage whose job loses its worker after two blocks, and begins anew.
RESTART = """async () => {
    const { Stage } = await import("/static/stage.js");
    const root = document.getElementById("stage"), stage = new Stage(root);
    const block = (done) => {
        stage.hear("preview", { done, png_base64: "" });
        stage.hear("progress", { done, steps: 4, progress: done / 4 });
    };
    stage.begin();
    stage.hear("status", { state: "running" });
    block(1);
    block(2);
    stage.hear("status", { state: "running" });
    block(1);
    const frames = [...root.querySelectorAll("[data-film] li")].map((frame) => frame.textContent);
    return [frames, root.querySelector("[data-words]").textContent];
}"""
