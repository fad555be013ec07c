"""Owns the laws of a card's page: every fact is on it, and what is not known is said to be so."""

import pytest

from model import TarFlowConfig
from model.card import Card, SamplingDefaults
from model.card_page import card_page
from model.checkpoint import BUNDLED, load_card, load_config

CONFIG = TarFlowConfig(32, 4, 256, 6, 4, num_classes=2, noise_std=0.05)
CARD = Card(
    class_names=("cat", "dog"),
    sampling=SamplingDefaults(guidance=1.5),
    trained_on="drawings",
    data_licence="CC0",
    command="tarflow train --data drawings && tarflow train --resume",
    metrics={"bayes_accuracy": 0.98765, "recall_at_guidance_2": 0.5},
    digest="abc",
    measured_by={"bayes_accuracy": "tarflow evaluate --record"},
    hardware="one abacus",
    hours=12.34,
    intended_use="Tests.",
    limits=("Nobody's decisions.", "No faces."),
    notes=("The abacus was shared.",),
    curve="curve.png",
    sheet="sheet.png",
)


@pytest.mark.parametrize(
    "fact",
    [
        "# toy",
        "**Intended use.** Tests.",
        "![Samples, one class a row](./sheet.png)",
        "| images | 32 x 32, RGB |",
        "[4-256-6-4]",
        "| classes | 2: cat, dog |",
        "noise-smoothed: image + Gaussian noise of standard deviation 0.05",
        "guidance 1.5, denoised",
        "| trained on | drawings |",
        "| licence of the data | CC0 |",
        "| hardware | one abacus |",
        "| hours of training | 12.3; see the notes under Training |",
        "`abc`",
        "tarflow train --data drawings &&\ntarflow train --resume",
        "![Training curve](./curve.png)",
        "- The abacus was shared.",
        "| bayes accuracy | 0.98765 |",
        "tarflow evaluate --record",
        "The command behind recall at guidance 2 was not recorded.",
        "- Nobody's decisions.\n- No faces.",
    ],
)
def test_a_fact_is_on_the_page(fact: str) -> None:
    assert fact in card_page("toy", CONFIG, CARD)


@pytest.mark.parametrize(
    "words",
    [
        "**Intended use.** not recorded",
        "| licence of the data | not recorded |",
        "| hardware | not recorded |",
        "| hours of training | not recorded |",
        "The command was not recorded.",
        "The training curve was not recorded.",
        "None were recorded.",
        "Not recorded.",
    ],
)
def test_a_fact_that_is_not_known_is_said_not_to_be(words: str) -> None:
    assert words in card_page("toy", CONFIG, Card())


def test_no_hours_at_all_are_not_hours_unknown() -> None:
    assert "| hours of training | 0.0 |" in card_page("toy", CONFIG, Card(hours=0.0))


def test_a_thousand_classes_are_not_listed() -> None:
    names = tuple(f"class {index}" for index in range(1000))
    config = TarFlowConfig(32, 4, 256, 6, 4, num_classes=1000)
    assert "| classes | 1000: class 0 to class 999 |" in card_page("toy", config, Card(names))


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUNDLED.glob("*/config.json")))
def test_a_bundled_checkpoints_page_is_the_one_its_facts_make(name: str) -> None:
    page = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    assert page == card_page(name, load_config(name), load_card(name)), f"run: tarflow card {name}"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUNDLED.glob("*/config.json")))
def test_a_bundled_checkpoint_says_what_it_must_not_be_used_for(name: str) -> None:
    assert load_card(name).limits


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUNDLED.glob("*/config.json")))
def test_the_pictures_of_a_bundled_checkpoint_are_there(name: str) -> None:
    card = load_card(name)
    assert [file for file in (card.curve, card.sheet) if file and not (BUNDLED / name / file).is_file()] == []
