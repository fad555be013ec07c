"""Owns the laws of the other views: sweeps, scores, and the way there and back."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import Visitor
from tests.e2e.conftest import Site

GUIDANCES = ["0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4"]


@pytest.fixture(scope="module")
def seven(bundled: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of a seven, as a file."""
    file = tmp_path_factory.mktemp("pictures") / "seven.png"
    file.write_bytes(bundled.http.post("/generate?class=7&seed=42").content)
    return file


@pytest.fixture(scope="module")
def damaged(seven: Path) -> Path:
    """The same with a white square in its lower left corner."""
    file = seven.with_name("damaged.png")
    with Image.open(seven) as image:
        image.paste(255, (3, 18, 10, 25))
        image.save(file)
    return file


def go(visitor: Visitor, view: str) -> None:
    """Show a view, as a click on its name does."""
    visitor.page.get_by_role("navigation").get_by_role("link", name=view, exact=True).click()


def shown(source: str | None) -> bytes:
    """The pixels of a picture whose bytes are in its address."""
    assert source is not None
    with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
        return image.tobytes()


def test_a_sweep_of_guidance_keeps_the_noise(visitor: Visitor) -> None:
    go(visitor, "Sweeps")
    visitor.choose_class("3")
    visitor.page.get_by_label("Noise (seed)").fill("5")
    visitor.page.get_by_role("button", name="Guidance 0 to 4").click()
    pictures = visitor.page.locator(".sweep img")
    pictures.nth(len(GUIDANCES) - 1).wait_for()
    assert visitor.page.locator(".sweep li > span").all_text_contents() == GUIDANCES
    assert {image.get_attribute("alt") for image in pictures.all()} == {"A picture of 3, seed 5"}
    assert len({image.get_attribute("src") for image in pictures.all()}) == len(GUIDANCES)


def test_a_sweep_of_classes_has_every_class(visitor: Visitor) -> None:
    go(visitor, "Sweeps")
    visitor.page.get_by_role("button", name="Every class").click()
    visitor.page.locator(".sweep img").nth(9).wait_for()
    assert visitor.page.locator(".sweep li > span").all_text_contents() == [str(digit) for digit in range(10)]
    visitor.picture("sweeps")


def test_a_picture_that_was_made_is_scored_with_one_press(visitor: Visitor) -> None:
    visitor.choose_class("7")
    visitor.generate()
    visitor.await_picture()
    visitor.page.get_by_role("button", name="Score this").click()
    visitor.page.get_by_role("heading", name="Which class").wait_for()
    likeliest = visitor.page.locator(".bars li").first
    assert likeliest.locator("span").first.inner_text() == "7"
    assert visitor.page.locator(".findings dd").first.inner_text().endswith(" nats")


def test_the_heat_lies_over_the_picture_as_strong_as_is_wanted(visitor: Visitor, damaged: Path) -> None:
    go(visitor, "Score")
    visitor.page.set_input_files("#score-files", damaged)
    heat = visitor.page.locator(".layers canvas")
    heat.wait_for()
    opacity = visitor.page.get_by_label("Opacity of the heat map")
    for wanted in ("0", "1"):
        opacity.fill(wanted)
        assert heat.evaluate("canvas => getComputedStyle(canvas).opacity") == wanted
    visitor.picture("score")


def test_a_blank_image_is_called_unusual_and_shown_among_the_usual(visitor: Visitor, seven: Path) -> None:
    blank = seven.with_name("blank.png")
    Image.new("L", (28, 28)).save(blank)
    go(visitor, "Score")
    visitor.page.set_input_files("#score-files", blank)
    verdict = visitor.page.locator(".findings .verdict")
    verdict.wait_for()
    assert verdict.inner_text().startswith("Unusual: likelier than images of its kind")
    histogram = visitor.page.get_by_role("img", name="The score")
    assert histogram.locator(".here.bad").count() == 1
    assert "Red is less likely than usual" in visitor.page.locator(".pane .hint").inner_text()


def test_several_images_are_a_table_that_can_be_sorted_and_taken_away(
    visitor: Visitor, seven: Path, damaged: Path
) -> None:
    go(visitor, "Score")
    visitor.page.set_input_files("#score-files", [seven, damaged])
    visitor.page.get_by_role("button", name="Nats").click()
    rows = visitor.page.locator("tbody tr")
    nats = [float(row.locator("td").nth(2).inner_text()) for row in rows.all()]
    assert nats == sorted(nats)
    assert visitor.page.locator("th[aria-sort=ascending]").inner_text() == "Nats"
    with visitor.page.expect_download() as taken:
        visitor.page.get_by_role("button", name="Download CSV").click()
    lines = taken.value.path().read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["image", "damaged.png", "seven.png"]
    visitor.picture("scores")


def test_an_image_comes_back_from_its_noise(visitor: Visitor, seven: Path) -> None:
    go(visitor, "There and back")
    visitor.page.set_input_files("#end-a input", seven)
    visitor.page.get_by_role("button", name="Encode and decode").click()
    back = visitor.page.get_by_alt_text("The image that came back")
    back.wait_for()
    with Image.open(seven) as image:
        assert shown(back.get_attribute("src")) == image.tobytes()
    assert visitor.page.get_by_text("exact, every pixel").is_visible()


def test_a_slider_goes_from_one_image_to_another(visitor: Visitor, seven: Path, damaged: Path) -> None:
    go(visitor, "There and back")
    visitor.page.set_input_files("#end-a input", seven)
    visitor.page.set_input_files("#end-b input", damaged)
    visitor.page.get_by_role("button", name="Find the way").click()
    slider = visitor.page.get_by_label("From the first image to the second")
    for end, file in (("0", seven), ("12", damaged)):
        slider.fill(end)
        with Image.open(file) as image:
            assert shown(visitor.page.locator("#between-out .large").get_attribute("src")) == image.tobytes()


def test_a_picture_is_verified_and_a_damaged_one_names_no_settings(
    visitor: Visitor, seven: Path, damaged: Path
) -> None:
    visitor.refusals_are_meant = True
    go(visitor, "There and back")
    visitor.page.set_input_files("#end-a input", seven)
    visitor.page.get_by_role("button", name="Verify").click()
    visitor.page.get_by_text("Yes: every pixel is as its settings make it.").wait_for()
    visitor.picture("there-and-back")
    visitor.page.set_input_files("#end-a input", damaged)
    visitor.page.get_by_role("button", name="Verify").click()
    visitor.page.get_by_text("has no text chunk").wait_for()
