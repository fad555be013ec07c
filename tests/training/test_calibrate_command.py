"""Owns the laws of `tarflow calibrate`: what it leaves behind, says and refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model import TarFlow, save
from model.calibration import View
from model.calibration_files import calibration_names, load_calibration
from model.card import Card
from model.checkpoint import load_card
from pictures.complexity import encoder, probe_lengths
from pictures.origin import REQUEST_CHUNK
from training.__main__ import main

Text = pytest.CaptureFixture[str]
FolderMaker = Callable[..., Path]
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def checkpoint(make_shifting_flow: Callable[..., TarFlow], tmp_path: Path) -> Path:
    """A checkpoint that knows cats and dogs."""
    torch.set_num_threads(1)
    save(make_shifting_flow(-0.5, 0.5, noise_std=0.1), tmp_path / "flow", Card(("cat", "dog")))
    return tmp_path / "flow"


@pytest.fixture
def held_out(make_folder: FolderMaker) -> Path:
    """Images it was not trained on."""
    return make_folder("held_out", cat=80, dog=80)


def calibrate(checkpoint: Path | str, data: Path, *options: str) -> int:
    """`tarflow calibrate`."""
    return main(["calibrate", "--checkpoint", str(checkpoint), "--data", str(data), *options])


def test_a_calibration_is_left_in_the_checkpoint(checkpoint: Path, held_out: Path) -> None:
    assert calibrate(checkpoint, held_out) == 0
    found = load_calibration(checkpoint, "default", load_card(checkpoint).digest, "cpu")
    assert found.references.keys() == set(View)


def test_what_is_printed_is_what_is_kept(checkpoint: Path, held_out: Path, capsys: Text) -> None:
    assert calibrate(checkpoint, held_out, "--name", "v2") == 0
    printed = capsys.readouterr().out
    assert printed == (checkpoint / "calibration" / "v2.json").read_text()
    assert json.loads(printed)["views"]["none"]["thresholds"]["0.05"] is not None


def test_the_description_says_where_it_comes_from(checkpoint: Path, held_out: Path, capsys: Text) -> None:
    (held_out / "cat" / "broken.png").write_bytes(b"no picture")
    calibrate(checkpoint, held_out, "--images", "120", "--seed", "5")
    found = json.loads(capsys.readouterr().out)
    facts = {name: found[name] for name in ("drawn_from", "seed", "fitted", "compared", "unreadable", "leaked")}
    assert facts == {"drawn_from": 160, "seed": 5, "fitted": 60, "compared": 60, "unreadable": 1, "leaked": None}
    assert found["command"].startswith(f"tarflow calibrate --checkpoint {checkpoint}")
    assert (found["encoder"], tuple(found["png_lengths"])) == (encoder(), probe_lengths())


def test_images_of_the_training_folder_are_left_out_and_told_of(
    checkpoint: Path, held_out: Path, make_folder: FolderMaker, capsys: Text
) -> None:
    # Its cats are the first of the others: the maker's noise depends on class and number alone.
    calibrate(checkpoint, held_out, "--train-data", str(make_folder("train", cat=30)))
    said = capsys.readouterr()
    assert "30 images are in the training data too: left out" in said.err
    assert json.loads(said.out)["leaked"] == 30


def test_several_calibrations_lie_side_by_side(checkpoint: Path, held_out: Path) -> None:
    for name in ("default", "night"):
        assert calibrate(checkpoint, held_out, "--name", name) == 0
    assert calibration_names(checkpoint) == ["default", "night"]


def test_weights_and_card_stay_as_they_are(checkpoint: Path, held_out: Path) -> None:
    before = {file.name: file.read_bytes() for file in checkpoint.iterdir()}
    calibrate(checkpoint, held_out)
    assert {file.name: file.read_bytes() for file in checkpoint.iterdir() if file.is_file()} == before


def test_the_same_command_gives_the_same_numbers(checkpoint: Path, held_out: Path) -> None:
    for name in ("a", "b"):
        calibrate(checkpoint, held_out, "--name", name)
    folder = checkpoint / "calibration"
    assert (folder / "a.safetensors").read_bytes() == (folder / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--name", "../a"), "--name takes"),
        (("--images", "-1"), "--images must lie in [0, 2147483648], got -1"),
        (("--images", "99"), "at least 100 images, got 99"),
        (("--images", "161"), "there are 160 images to draw from"),
        (("--seed", "-1"), "--seed must lie in [0, 4294967295], got -1"),
        (("--device", "abacus"), "device must be auto"),
        (("--train-data", "nowhere"), "nowhere: no such folder"),
    ],
)
def test_a_bad_option_is_refused_by_name(
    checkpoint: Path, held_out: Path, capsys: Text, options: tuple[str, str], says: str
) -> None:
    assert calibrate(checkpoint, held_out, *options) == 2
    assert says in capsys.readouterr().err
    assert not (checkpoint / "calibration").exists()


def test_a_published_file_is_refused_with_the_way_on(held_out: Path, capsys: Text) -> None:
    assert calibrate(GOLDEN / "conditional.pth", held_out) == 2
    assert "`tarflow import` it first" in capsys.readouterr().err


def test_generated_pictures_are_refused(checkpoint: Path, held_out: Path, capsys: Text) -> None:
    text = PngInfo()
    text.add_itxt(REQUEST_CHUNK, "{}")
    Image.new("L", (8, 8)).save(held_out / "dog" / "made.png", pnginfo=text)
    assert calibrate(checkpoint, held_out) == 2
    assert "a calibration takes real images alone" in capsys.readouterr().err
