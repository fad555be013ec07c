"""Owns the laws of the command `card`: facts go into config.json, and the page says them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from model import TarFlow, load, save
from model.card import Card
from model.card_page import card_page
from model.checkpoint import load_card
from training.__main__ import main

Text = pytest.CaptureFixture[str]


@pytest.fixture
def checkpoint(make_shifting_flow: Callable[..., TarFlow], tmp_path: Path) -> Path:
    """A checkpoint whose card says little."""
    save(make_shifting_flow(-0.5, 0.5), tmp_path / "flow", Card(("cat", "dog"), hardware="an abacus"))
    return tmp_path / "flow"


def make_run(folder: Path) -> Path:
    """A run of three steps, each an hour long."""
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps({"batch_size": 36}))
    steps = [{"epoch": index / 3, "loss_nats_per_dim": -index, "images_per_s": 0.01} for index in (1, 2, 3)]
    (folder / "log.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    return folder


def test_facts_that_are_given_are_in_the_card_and_others_stay(checkpoint: Path) -> None:
    given = [
        "--intended-use",
        "Tests.",
        "--limit",
        "No faces.",
        "--limit",
        "No money.",
        "--note",
        "Slow.",
        "--hours",
        "3",
    ]
    assert main(["card", str(checkpoint), *given]) == 0
    card = load_card(checkpoint)
    assert (card.intended_use, card.limits, card.notes, card.hours) == (
        "Tests.",
        ("No faces.", "No money."),
        ("Slow.",),
        3,
    )
    assert (card.hardware, card.class_names) == ("an abacus", ("cat", "dog"))


def test_the_page_is_beside_the_weights(checkpoint: Path) -> None:
    assert main(["card", str(checkpoint), "--intended-use", "Tests."]) == 0
    page = card_page("flow", load(checkpoint).config, load_card(checkpoint))
    assert (checkpoint / "README.md").read_text() == page


def test_the_weights_stay_as_they_are(checkpoint: Path) -> None:
    before = (checkpoint / "model.safetensors").read_bytes()
    assert main(["card", str(checkpoint), "--sheet", "--intended-use", "Tests."]) == 0
    assert (checkpoint / "model.safetensors").read_bytes() == before


def test_runs_give_the_curve_and_the_hours(checkpoint: Path, tmp_path: Path) -> None:
    runs = [str(make_run(tmp_path / name)) for name in ("first", "second")]
    assert main(["card", str(checkpoint), "--run", *runs]) == 0
    assert (load_card(checkpoint).curve, load_card(checkpoint).hours) == ("curve.png", 6)
    with Image.open(checkpoint / "curve.png") as curve:
        assert curve.format == "PNG"


def test_facts_that_are_missing_come_from_another_checkpoint(
    checkpoint: Path, make_shifting_flow: Callable[..., TarFlow], tmp_path: Path
) -> None:
    card = Card(hardware="a loom", intended_use="Tests.", limits=("No faces.",), hours=3, metrics={"fid": 1.0})
    save(make_shifting_flow(0.0), tmp_path / "other", card)
    assert main(["card", str(checkpoint), "--like", str(tmp_path / "other"), "--limit", "No money."]) == 0
    found = load_card(checkpoint)
    assert (found.hardware, found.intended_use, found.limits) == ("an abacus", "Tests.", ("No money.",))
    assert (found.hours, found.metrics) == (None, {})


def test_hours_that_are_given_are_taken_over_those_of_the_runs(checkpoint: Path, tmp_path: Path) -> None:
    assert main(["card", str(checkpoint), "--run", str(make_run(tmp_path / "run")), "--hours", "7"]) == 0
    assert load_card(checkpoint).hours == 7


def test_a_sheet_has_a_row_for_each_class(checkpoint: Path) -> None:
    assert main(["card", str(checkpoint), "--sheet"]) == 0
    assert load_card(checkpoint).sheet == "sheet.png"
    with Image.open(checkpoint / "sheet.png") as sheet:
        assert sheet.size == (10 * 10 + 2, 2 * 10 + 2)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--hours", "-1"), "hours must be finite and at least 0, got -1"),
        (("--hours", "nan"), "hours must be finite and at least 0, got nan"),
        (("--run", "nowhere"), "nowhere: not the folder of a run"),
    ],
)
def test_a_bad_option_is_refused_by_name_and_changes_nothing(
    checkpoint: Path, capsys: Text, options: tuple[str, ...], says: str
) -> None:
    before = (checkpoint / "config.json").read_bytes()
    assert main(["card", str(checkpoint), "--intended-use", "Tests.", *options]) == 2
    assert says in capsys.readouterr().err
    assert (checkpoint / "config.json").read_bytes() == before


def test_a_published_file_has_no_card(capsys: Text) -> None:
    golden = Path(__file__).parents[1] / "golden" / "conditional.pth"
    assert main(["card", str(golden)]) == 2
    assert "`tarflow import` it first" in capsys.readouterr().err
