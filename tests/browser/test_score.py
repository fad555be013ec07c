"""Owns the laws of the view that scores: what is said of an image, and that it is said of no other."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngInfo

from tests.browser.conftest import Visitor
from tests.e2e.conftest import Site

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Route

FILES = "#score-files"
BOXES = (
    "marks => marks.map(mark => mark.getBoundingClientRect()).map(box => [box.left, box.right, box.top, box.bottom])"
)


def verdict(visitor: Visitor) -> "Locator":
    """What is said of the image that is looked at."""
    return visitor.page.locator(".findings .verdict")


def score(visitor: Visitor, file: Path) -> None:
    """Bring an image, and await what is said of it."""
    visitor.page.set_input_files(FILES, file)
    visitor.page.locator(f".layers img[alt='{file.name}']").wait_for()


def test_a_picture_that_was_made_is_scored_with_one_press(visitor: Visitor) -> None:
    visitor.choose_class("7")
    visitor.generate()
    visitor.await_picture()
    visitor.press("Score this")
    visitor.page.get_by_role("heading", name="Which class").wait_for()
    likeliest = visitor.page.locator(".bars li").first
    assert likeliest.locator("span").first.inner_text() == "7"
    assert visitor.page.locator(".findings dd").first.inner_text().endswith(" nats")


def test_a_picture_is_scored_by_the_model_that_made_it(visitor: Visitor) -> None:
    visitor.view.get_by_label("Model").select_option("mnist-28-density")
    visitor.generate()
    visitor.await_picture()
    visitor.press("Score this")
    visitor.page.get_by_role("heading", name="Which class").wait_for()
    assert visitor.view.get_by_label("Model").input_value() == "mnist-28-density"
    assert visitor.page.locator(".findings dd", has_text="dequantised").count() == 1


def test_the_heat_lies_over_the_picture_as_strong_as_is_wanted(visitor: Visitor, damaged: Path) -> None:
    visitor.go("Score")
    score(visitor, damaged)
    heat = visitor.page.locator(".layers canvas")
    opacity = visitor.page.get_by_label("Opacity of the heat map")
    for wanted in ("0", "1"):
        opacity.fill(wanted)
        assert heat.evaluate("canvas => getComputedStyle(canvas).opacity") == wanted
    visitor.picture("score")


def test_under_the_heat_black_is_grey_and_without_it_black(visitor: Visitor, blank: Path) -> None:
    visitor.go("Score")
    score(visitor, blank)

    def darkest() -> int:
        with Image.open(io.BytesIO(visitor.page.locator(".layers").screenshot())) as image:
            red, green, blue = image.convert("RGB").crop((40, 40, image.width - 40, image.height - 40)).split()
            counts = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
            return next(value for value, count in enumerate(counts) if count)

    visitor.page.get_by_label("Opacity of the heat map").fill("1")
    assert darkest() > 50
    visitor.page.get_by_label("Opacity of the heat map").fill("0")
    assert darkest() == 0


def test_a_blank_image_is_called_unusual_and_shown_among_the_usual(visitor: Visitor, blank: Path) -> None:
    visitor.go("Score")
    score(visitor, blank)
    assert verdict(visitor).inner_text().startswith("Unusual: likelier than images of its kind")
    assert visitor.page.get_by_role("img", name="The score").locator("text.here.bad").count() == 1
    assert "Red is less likely than usual" in visitor.page.locator(".pane .hint").inner_text()


def drawings(visitor: Visitor, model: str, files: list[Path]) -> Iterator["Locator"]:
    """Where the scores of these images lie under a model, one after another."""
    visitor.go("Score")
    visitor.view.get_by_label("Model").select_option(model)
    for file in files:
        score(visitor, file)
        yield visitor.page.get_by_role("img", name="The score")


@pytest.fixture
def far_apart(seven: Path, blank: Path) -> list[Path]:
    """A usual image, and two that lie at the ends."""
    white = seven.with_name("white.png")
    Image.new("L", (28, 28), 255).save(white)
    return [seven, blank, white]


@pytest.mark.parametrize("model", ["mnist-28", "mnist-28-density"])
def test_every_score_lies_in_the_drawing_with_its_number(model: str, visitor: Visitor, far_apart: list[Path]) -> None:
    for drawing in drawings(visitor, model, far_apart):
        assert "this image " in (drawing.locator("text.here").text_content() or "")
        ((left, right, _, _),) = drawing.evaluate_all(BOXES)
        assert all(left - 1 <= box[0] and box[1] <= right + 1 for box in drawing.locator("text").evaluate_all(BOXES))


@pytest.mark.parametrize("model", ["mnist-28", "mnist-28-density"])
def test_no_words_of_the_drawing_overlap(model: str, visitor: Visitor, far_apart: list[Path]) -> None:
    for drawing in drawings(visitor, model, far_apart):
        labels = drawing.locator("text").evaluate_all(BOXES)
        (_, _, _, above), (_, _, below, _) = sorted(labels, key=lambda box: box[2])
        assert above <= below


@pytest.mark.parametrize("model", ["mnist-28", "mnist-28-density"])
def test_all_but_the_strangest_images_have_the_most_of_the_drawing(
    model: str, visitor: Visitor, far_apart: list[Path]
) -> None:
    for drawing in drawings(visitor, model, far_apart):
        ((left, right, _, _),) = drawing.evaluate_all(BOXES)
        (bars,) = drawing.locator(".bars").evaluate_all(BOXES)
        assert bars[1] - bars[0] > (right - left) / 2


def test_what_alpha_means_is_said_in_words(visitor: Visitor, seven: Path) -> None:
    visitor.go("Score")
    visitor.page.get_by_label("False alarms allowed").select_option("0.05")
    score(visitor, seven)
    assert "1 in 20 of them lies beyond the dashed line" in visitor.page.locator(".findings figure .hint").inner_text()


def test_a_p_value_is_told_as_a_count_of_real_images(visitor: Visitor, seven: Path, bundled: Site) -> None:
    answer = bundled.http.post("/score?class=all", content=seven.read_bytes(), headers={"Content-Type": "image/png"})
    told = answer.json()["results"][0]
    strange = round(told["p_value"] * (told["calibration"]["n"] + 1)) - 1
    assert strange > 1
    visitor.go("Score")
    score(visitor, seven)
    words = f"Of the 4,000 real images it was calibrated with, {strange:,} are at least as strange."
    assert words in verdict(visitor).inner_text()


def test_what_was_found_of_one_image_is_gone_while_another_is_scored(
    visitor: Visitor, seven: Path, damaged: Path
) -> None:
    visitor.go("Score")
    score(visitor, seven)
    visitor.hold("**/score?*")
    with visitor.page.expect_request("**/score?*"):
        visitor.page.set_input_files(FILES, damaged)
    assert visitor.page.locator(".scored").count() == 0
    visitor.let_go()
    visitor.page.locator(".layers img[alt='damaged.png']").wait_for()


@pytest.mark.parametrize("dial", ["Model", "Under which class"])
def test_what_was_found_is_gone_once_another_thing_is_asked(dial: str, visitor: Visitor, seven: Path) -> None:
    visitor.go("Score")
    score(visitor, seven)
    visitor.hold("**/score?*")
    with visitor.page.expect_request("**/score?*"):
        if dial == "Model":
            visitor.view.get_by_label(dial).select_option("mnist-28-density")
        else:
            visitor.view.get_by_label(dial).first.fill("7")
            visitor.page.keyboard.press("Enter")
    assert visitor.page.locator(".scored").count() == 0


def test_nothing_of_an_earlier_image_stays_beside_a_failure(visitor: Visitor, seven: Path, damaged: Path) -> None:
    visitor.go("Score")
    score(visitor, seven)
    visitor.refuse("**/score?*", 422, title="Invalid input", detail="no such image")
    visitor.page.set_input_files(FILES, damaged)
    visitor.page.get_by_text("no such image").wait_for()
    assert visitor.page.locator(".scored").count() == 0


def test_a_score_that_waits_can_be_cancelled(visitor: Visitor, seven: Path) -> None:
    visitor.refuse("**/score?*", 503, retry_after_s=600, title="No worker")
    visitor.go("Score")
    visitor.page.set_input_files(FILES, seven)
    visitor.page.get_by_text("No worker. Trying again in 600 s.").wait_for()
    visitor.press("Cancel")
    assert visitor.view.get_by_text("Trying again").count() == 0
    assert not visitor.view.get_by_role("button", name="Cancel").is_visible()
    visitor.page.unroute("**/score?*")
    score(visitor, seven)


def test_several_images_are_a_table_that_can_be_sorted(visitor: Visitor, seven: Path, damaged: Path) -> None:
    visitor.go("Score")
    visitor.page.set_input_files(FILES, [seven, damaged])
    visitor.page.get_by_role("button", name="Nats").click()
    rows = visitor.page.locator("tbody tr")
    nats = [float(row.locator("td").nth(2).inner_text()) for row in rows.all()]
    assert nats == sorted(nats)
    assert visitor.page.locator("th[aria-sort=ascending]").inner_text() == "Nats"
    visitor.picture("scores")


def test_what_is_not_there_comes_last_in_either_order(visitor: Visitor, seven: Path, damaged: Path) -> None:
    def tell(route: "Route") -> None:
        answer = route.fetch()
        body = answer.json()
        for result in body.get("results", [])[:1]:
            result["bits_per_dim"] = None
        route.fulfill(response=answer, json=body)

    # What was scored before is answered at once.
    for path in ("**/score?*", "**/jobs/*/result"):
        visitor.page.route(path, tell)
    visitor.go("Score")
    visitor.page.set_input_files(FILES, [seven, damaged])
    for order in ("ascending", "descending"):
        visitor.page.get_by_role("button", name="Bits/dim").click()
        visitor.page.locator(f"th[aria-sort={order}]").wait_for()
        assert visitor.page.locator("tbody tr").last.locator("td").nth(3).inner_text() == ""


def test_a_table_is_taken_away_as_a_csv(visitor: Visitor, seven: Path, damaged: Path) -> None:
    visitor.go("Score")
    visitor.page.set_input_files(FILES, [seven, damaged])
    with visitor.page.expect_download() as taken:
        visitor.press("Download CSV")
    lines = taken.value.path().read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["image", "seven.png", "damaged.png"]


def test_our_own_picture_is_told_from_real_images_with_its_reason(visitor: Visitor, seven: Path, blank: Path) -> None:
    ours, words = seven.with_name("ours.png"), PngInfo()
    words.add_text("tarflow", "{}")
    with Image.open(blank) as image:
        image.save(ours, pnginfo=words)
    visitor.go("Score")
    score(visitor, ours)
    assert "It was made by a model: it is no real image" in verdict(visitor).inner_text()


def test_the_likeliest_class_is_not_said_to_be_the_right_one(visitor: Visitor, blank: Path) -> None:
    visitor.go("Score")
    score(visitor, blank)
    assert visitor.page.get_by_role("heading", name="Which class, if it is one of these at all").is_visible()
    assert visitor.view.get_by_text("The verdict does not test the class.").is_visible()


def test_a_row_that_is_chosen_is_gone_to(visitor: Visitor, seven: Path, damaged: Path) -> None:
    visitor.go("Score")
    visitor.page.set_input_files(FILES, [seven] * 30 + [damaged])
    visitor.page.locator("tbody tr").nth(30).get_by_role("button").click()
    heading = visitor.page.get_by_role("heading", name="damaged.png")
    assert heading.evaluate("heading => heading === document.activeElement")
    assert heading.evaluate("heading => heading.getBoundingClientRect().bottom < innerHeight")


def test_one_bad_file_among_several_is_named(visitor: Visitor, seven: Path) -> None:
    visitor.refusals_are_meant = True
    broken = seven.with_name("broken.png")
    broken.write_bytes(b"no image")
    visitor.go("Score")
    visitor.page.set_input_files(FILES, [seven, broken])
    problem = visitor.page.locator("#score-problem")
    problem.wait_for()
    assert "broken.png: is no PNG" in problem.inner_text()


def test_another_alpha_leaves_the_heat_as_it_was(visitor: Visitor, seven: Path) -> None:
    visitor.go("Score")
    score(visitor, seven)
    opacity = visitor.page.get_by_label("Opacity of the heat map")
    opacity.fill("0.2")
    visitor.page.get_by_label("False alarms allowed").select_option("0.05")
    visitor.page.locator(".findings figure .hint", has_text="1 in 20 of them").wait_for()
    assert opacity.input_value() == "0.2"


def test_a_score_that_was_cancelled_can_be_asked_for_again(visitor: Visitor, seven: Path) -> None:
    visitor.refuse("**/score?*", 503, retry_after_s=600, title="No worker")
    visitor.go("Score")
    visitor.page.set_input_files(FILES, seven)
    visitor.view.get_by_text("Trying again").wait_for()
    visitor.press("Cancel")
    assert visitor.page.locator("#score-words").inner_text() == "Cancelled."
    visitor.page.unroute("**/score?*")
    visitor.press("Score again")
    visitor.page.locator(".layers img[alt='seven.png']").wait_for()


def test_no_text_of_a_csv_is_a_formula(visitor: Visitor, seven: Path) -> None:
    formula = seven.with_name("@first.png")
    formula.write_bytes(seven.read_bytes())

    def tell(route: "Route") -> None:
        answer = route.fetch()
        body = answer.json()
        for each in body["results"]:
            each["density"] = "=1+1"
            each["classes"][7]["class_name"] = "+seven"
            each["warnings"] = ["-1, or so"]
        route.fulfill(response=answer, json=body)

    visitor.page.route("**/jobs/*/result", tell)
    visitor.go("Score")
    visitor.page.set_input_files(FILES, [formula, seven])
    with visitor.page.expect_download() as taken:
        visitor.press("Download CSV")
    with taken.value.path().open() as file:
        rows = list(csv.DictReader(file))
    texts = [rows[0][name] for name in ("image", "density", "likeliest_class", "warnings")]
    assert texts == ["'@first.png", "'=1+1", "'+seven", "'-1, or so"]
    assert float(rows[0]["log_likelihood_nats"]) == float(rows[1]["log_likelihood_nats"])
