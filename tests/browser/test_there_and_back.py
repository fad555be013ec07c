"""Owns the laws of the way there and back: what each panel finds, and that it stands beside nothing else."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.browser.conftest import Visitor, shown

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Route

FIRST, SECOND = "#end-a input", "#end-b input"


@pytest.fixture
def traveller(visitor: Visitor, seven: Path) -> Visitor:
    """Somebody who brought a seven for the first image."""
    visitor.go("There and back")
    visitor.page.set_input_files(FIRST, seven)
    return visitor


def outcome(visitor: Visitor, panel: str) -> "Locator":
    """What a panel has found."""
    return visitor.page.locator(f"#{panel}-out > *").first


def lose(route: "Route") -> None:
    """Tell of an image's noise as if no image came back from it."""
    answer = route.fetch()
    body = answer.json()
    if "round_trip" in body:
        body["round_trip"] = dict.fromkeys(body["round_trip"])
    route.fulfill(response=answer, json=body)


def test_an_image_comes_back_from_its_noise(traveller: Visitor, seven: Path) -> None:
    traveller.press("Encode and decode")
    back = traveller.page.get_by_alt_text("The image that came back")
    back.wait_for()
    with Image.open(seven) as image:
        assert shown(back.get_attribute("src")) == image.tobytes()
    assert traveller.page.get_by_text("exact, every pixel").is_visible()


@pytest.mark.parametrize(("model", "words"), [("mnist-28", "learned noisy ones"), ("mnist-28-density", "near 1 for")])
def test_the_spread_of_the_noise_is_held_against_what_the_model_learned(
    model: str, words: str, traveller: Visitor
) -> None:
    traveller.view.get_by_label("Model").select_option(model)
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()
    assert words in traveller.page.locator("#trip-out dt:text-is('Spread of the noise') + dd").inner_text()


def test_a_slider_goes_from_one_image_to_another(traveller: Visitor, seven: Path, damaged: Path) -> None:
    traveller.page.set_input_files(SECOND, damaged)
    traveller.press("Find the way")
    slider = traveller.page.get_by_label("From the first image to the second")
    for end, file in (("0", seven), ("12", damaged)):
        slider.fill(end)
        with Image.open(file) as image:
            assert shown(traveller.page.locator("#between-out .large").get_attribute("src")) == image.tobytes()


def test_a_picture_is_verified(traveller: Visitor) -> None:
    traveller.press("Verify")
    traveller.page.get_by_text("Yes: every pixel is as its settings make it.").wait_for()
    traveller.picture("there-and-back")


def claiming(seven: Path, name: str, **changes: object) -> Path:
    """The seven with other words of how it was made; those that are None are left out."""
    with Image.open(seven) as image:
        told = json.loads(image.text["tarflow"]) | changes  # type: ignore[attr-defined]
        words = PngInfo()
        words.add_text("tarflow", json.dumps({key: value for key, value in told.items() if value is not None}))
        image.save(seven.with_name(name), pnginfo=words)
    return seven.with_name(name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "other-model"}, "It says how it was made, but its model is not here"),
        ({"seed": None}, "It does not say enough to be made again"),
        ({"seed": None, "latents_sha256": "7"}, "It cannot be made again"),
        ({"guidance": 99}, "It says how it was made, but nothing is made like that"),
    ],
)
def test_what_cannot_be_verified_is_told_by_its_reason(
    changes: dict[str, object], words: str, traveller: Visitor, seven: Path
) -> None:
    traveller.refusals_are_meant = True
    traveller.page.set_input_files(FIRST, claiming(seven, "claiming.png", **changes))
    traveller.press("Verify")
    outcome(traveller, "verify").wait_for()
    assert outcome(traveller, "verify").inner_text().startswith(words)


def test_half_a_file_is_not_said_to_be_silent(traveller: Visitor, seven: Path) -> None:
    traveller.refusals_are_meant = True
    half = seven.with_name("half.png")
    half.write_bytes(seven.read_bytes()[: -len(seven.read_bytes()) // 4])
    traveller.page.set_input_files(FIRST, half)
    traveller.press("Verify")
    outcome(traveller, "verify").wait_for()
    assert outcome(traveller, "verify").inner_text() == "This file cannot be checked: it is a damaged PNG image."


def test_a_picture_decoded_under_another_class_is_not_said_to_be_back(traveller: Visitor) -> None:
    for dial, name in (("Encode under", "7"), ("Decode under", "3")):
        traveller.view.get_by_role("combobox", name=dial).fill(name)
        traveller.page.keyboard.press("Enter")
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()
    captions = traveller.page.locator("#trip-out figcaption").all_text_contents()
    assert captions == ["Image", "Its noise", "Not back: the same noise under class 3"]
    assert traveller.page.locator("#trip-out dt").first.inner_text() == "Round trip under class 7"


def test_a_file_that_is_no_image_is_refused_by_its_name(traveller: Visitor, seven: Path) -> None:
    notes = seven.with_name("notes.txt")
    notes.write_text("seven")
    traveller.page.set_input_files(FIRST, notes)
    traveller.view.get_by_text("notes.txt is no image.").wait_for()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_of_a_foreign_image_verify_answers_that_it_names_no_settings(
    suffix: str, traveller: Visitor, blank: Path
) -> None:
    foreign = blank.with_suffix(suffix)
    Image.new("L", (28, 28)).save(foreign)
    traveller.page.set_input_files(FIRST, foreign)
    traveller.press("Verify")
    outcome(traveller, "verify").wait_for()
    assert outcome(traveller, "verify").inner_text().startswith("This picture does not say how it was made")
    assert traveller.view.locator(".problem:visible").count() == 0
    traveller.picture(f"verify-foreign-{suffix[1:]}")


def test_another_image_clears_what_was_found_of_the_one_before(traveller: Visitor, seven: Path, damaged: Path) -> None:
    page = traveller.page
    page.set_input_files(SECOND, damaged)
    for button, panel in (("Encode and decode", "trip"), ("Find the way", "between"), ("Verify", "verify")):
        traveller.press(button)
        outcome(traveller, panel).wait_for()
    page.set_input_files(SECOND, seven)
    assert [outcome(traveller, panel).count() for panel in ("trip", "between", "verify")] == [1, 0, 1]
    page.set_input_files(FIRST, damaged)
    assert [outcome(traveller, panel).count() for panel in ("trip", "between", "verify")] == [0, 0, 0]


def test_another_model_or_class_clears_what_was_found_under_the_one_before(traveller: Visitor) -> None:
    for dial in ("Model", "Encode under", "Decode under"):
        traveller.press("Encode and decode")
        outcome(traveller, "trip").wait_for()
        if dial == "Model":
            traveller.view.get_by_label(dial).select_option("mnist-28-density")
        else:
            traveller.view.get_by_role("combobox", name=dial).fill("3")
            traveller.page.keyboard.press("Enter")
        assert outcome(traveller, "trip").count() == 0


def test_a_run_that_fails_leaves_nothing_of_the_one_before(traveller: Visitor) -> None:
    traveller.press("Verify")
    outcome(traveller, "verify").wait_for()
    traveller.refuse("**/verify*", 500, title="Internal error", detail="it broke")
    traveller.press("Verify")
    traveller.view.get_by_text("it broke").wait_for()
    assert outcome(traveller, "verify").count() == 0


def test_an_answer_that_comes_late_is_not_shown_for_another_image(traveller: Visitor, damaged: Path) -> None:
    traveller.hold("**/encode?*")
    with traveller.page.expect_request("**/encode?*"):
        traveller.press("Encode and decode")
    traveller.page.set_input_files(FIRST, damaged)
    traveller.let_go()
    traveller.refusals_are_meant = True
    traveller.press("Verify")
    outcome(traveller, "verify").wait_for()
    assert outcome(traveller, "trip").count() == 0


def test_what_waits_can_be_cancelled(traveller: Visitor) -> None:
    traveller.refuse("**/encode*", 503, retry_after_s=600, title="No worker")
    traveller.press("Encode and decode")
    traveller.page.get_by_text("No worker. Trying again in 600 s.").wait_for()
    traveller.press("Cancel")
    assert traveller.view.get_by_text("Trying again").count() == 0
    assert not traveller.view.get_by_role("button", name="Cancel").first.is_visible()
    traveller.page.unroute("**/encode*")
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()


def test_a_job_that_is_cancelled_ends_in_the_queue_too(traveller: Visitor, seven: Path) -> None:
    # What was encoded before is answered at once.
    unseen = seven.with_name("unseen.png")
    Image.frombytes("L", (28, 28), os.urandom(28 * 28)).save(unseen)
    traveller.page.set_input_files(FIRST, unseen)
    traveller.hold("**/jobs/*/events")
    with traveller.page.expect_request("**/jobs/*/events"):
        traveller.press("Encode and decode")
    traveller.refusals_are_meant = True
    with traveller.page.expect_request(lambda request: request.method == "DELETE"):
        traveller.press("Cancel")


def test_a_slot_can_be_emptied(traveller: Visitor) -> None:
    traveller.press("Verify")
    outcome(traveller, "verify").wait_for()
    traveller.page.get_by_role("button", name="Remove the first image").click()
    assert traveller.view.locator(".slot img").count() == 0
    assert outcome(traveller, "verify").count() == 0
    names = ("Encode and decode", "Find the way", "Verify")
    assert all(traveller.page.get_by_role("button", name=name).is_disabled() for name in names)


def test_each_panel_names_the_images_that_it_acts_on(traveller: Visitor, damaged: Path) -> None:
    traveller.page.set_input_files(SECOND, damaged)
    first, second = "First image: seven.png", "Second image: damaged.png"
    for panel, names in (("trip", [first]), ("between", [first, second]), ("verify", [first])):
        assert traveller.page.locator(f"#{panel}-of span").all_text_contents() == names


def test_a_picture_that_is_taken_along_is_what_the_buttons_act_on(traveller: Visitor) -> None:
    page = traveller.page
    traveller.go("Generate")
    page.get_by_label("Model").first.select_option("mnist-28-density")
    traveller.choose_class("4")
    traveller.generate()
    traveller.await_picture()
    name = page.locator("#stage a[download]").get_attribute("download")
    traveller.press("There and back")
    dials = [traveller.view.get_by_label(each).first for each in ("Model", "Encode under", "Decode under")]
    assert [dial.input_value() for dial in dials] == ["mnist-28-density", "4", "4"]
    assert page.locator("#end-b img").get_attribute("alt") == "seven.png"
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()
    assert page.locator("#trip-of").inner_text() == f"First image: {name}"


def test_a_round_trip_that_brings_nothing_back_is_told(traveller: Visitor) -> None:
    for path in ("**/encode?*", "**/jobs/*/result"):
        traveller.page.route(path, lose)
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()
    assert traveller.view.get_by_text("its noise does not give it back").is_visible()
    assert traveller.page.get_by_role("img", name="The noise").is_visible()
    assert traveller.page.get_by_alt_text("The image that came back").count() == 0
    traveller.picture("nothing-came-back")


def test_an_image_that_cannot_be_encoded_is_told_of_in_the_panel(traveller: Visitor) -> None:
    traveller.refuse("**/encode?*", 422, title="Invalid image", detail="its latents overflow")
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()
    assert outcome(traveller, "trip").inner_text() == "This image has no noise here: its latents overflow"


def test_of_an_image_that_was_fitted_it_is_said(traveller: Visitor, seven: Path) -> None:
    large = seven.with_name("large.png")
    Image.new("RGB", (100, 80), (9, 9, 9)).save(large)
    traveller.page.set_input_files(FIRST, large)
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()
    assert traveller.view.get_by_text("resized from 100 × 80, converted from RGB").is_visible()


def test_of_an_image_that_was_cropped_the_page_shows_what_the_model_saw(traveller: Visitor, seven: Path) -> None:
    wide = seven.with_name("wide.png")
    image = Image.new("L", (200, 50))
    image.paste(255, (60, 0, 140, 50))
    image.save(wide)
    traveller.page.set_input_files(FIRST, wide)
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()
    assert set(traveller.page.get_by_role("img", name="The image as the model saw it").evaluate(PIXELS)) == {255}
    assert traveller.view.get_by_text("cropped to the square in its middle").is_visible()


def test_what_was_transparent_is_black_as_the_model_saw_it(traveller: Visitor, seven: Path) -> None:
    clear = seven.with_name("clear.png")
    Image.new("RGBA", (100, 80), (255, 255, 255, 0)).save(clear)
    traveller.page.set_input_files(FIRST, clear)
    traveller.press("Encode and decode")
    outcome(traveller, "trip").wait_for()
    values = traveller.page.get_by_role("img", name="The image as the model saw it").evaluate(PIXELS)
    assert set(zip(*[iter(values)] * 4, strict=True)) == {(0, 0, 0, 255)}


def test_a_file_that_changed_since_it_was_chosen_is_told_of(traveller: Visitor, seven: Path) -> None:
    chosen = seven.with_name("chosen.png")
    Image.new("L", (28, 28), 9).save(chosen)
    traveller.page.set_input_files(FIRST, chosen)
    Image.new("L", (14, 14), 9).save(chosen)
    os.utime(chosen, (1, 1))
    traveller.press("Encode and decode")
    traveller.view.get_by_text("It has changed or is gone since it was chosen").wait_for()


PIXELS = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
