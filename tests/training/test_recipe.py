"""Owns the laws of recipes: what they set, who overrides them, and what is none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from model import TarFlow, TarFlowConfig
from training.__main__ import main
from training.options import TrainOptions
from training.recipe import read_recipe, recipe_names

Arguments = Callable[..., list[str]]
Text = pytest.CaptureFixture[str]
MOST_BYTES = 40e6


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[[str], Path]:
    """A writer of recipe files."""

    def write(text: str) -> Path:
        (tmp_path / "mine.json").write_text(text)
        return tmp_path / "mine.json"

    return write


def options_of(run: Path) -> dict[str, object]:
    """What a run was told."""
    return dict(json.loads((run / "options.json").read_text()))


@pytest.mark.parametrize("name", recipe_names())
def test_every_bundled_recipe_makes_valid_options(name: str) -> None:
    options = TrainOptions(**{"data": Path("data"), "out": Path("run")} | read_recipe(name))
    assert isinstance(options.architecture(num_classes=10), TarFlowConfig)


@pytest.mark.parametrize("name", [name for name in recipe_names() if name.startswith("cifar10-32")])
def test_a_bundled_colour_model_is_small_enough_for_git(name: str) -> None:
    options = TrainOptions(**{"data": Path("data"), "out": Path("run")} | read_recipe(name))
    config = options.architecture(num_classes=10)
    half = 2 * sum(weight.numel() for weight in TarFlow(config).state_dict().values())
    assert options.weights_dtype == "float16"
    assert half + config.blocks * config.patches**2 <= MOST_BYTES  # the masks lie beside the weights


def test_a_recipe_sets_options(write_recipe: Callable[[str], Path], train_arguments: Arguments, tmp_path: Path) -> None:
    recipe = write_recipe('{"channels": 32, "flip": true, "learning_rate": 0.01, "precision": "bf16"}')
    assert main([*train_arguments(channels=None), "--recipe", str(recipe)]) == 0
    told = options_of(tmp_path / "command_line_run")
    assert (told["channels"], told["flip"], told["learning_rate"], told["precision"]) == (32, True, 0.01, "bf16")


def test_the_command_line_overrides_its_recipe(
    write_recipe: Callable[[str], Path], train_arguments: Arguments, tmp_path: Path
) -> None:
    recipe = write_recipe('{"channels": 32, "flip": true}')
    assert main([*train_arguments(channels=48), "--no-flip", f"--recipe={recipe}"]) == 0
    told = options_of(tmp_path / "command_line_run")
    assert (told["channels"], told["flip"]) == (48, False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "mine.json: "),
        ("[]", "not a JSON object of options"),
        ('{"colour": 1}', "there are no options ['colour']"),
        ('{"blocks": "6"}', "blocks must be int, got '6'"),
        ('{"blocks": 6.5}', "blocks must be int, got 6.5"),
        ('{"blocks": true}', "blocks must be int, got True"),
        ('{"flip": 1}', "flip must be bool, got 1"),
        ('{"ema": null}', "ema must be float, got None"),
        ('{"precision": "float8"}', "precision must be ('float32', 'bf16'), got 'float8'"),
        ('{"ema": 2}', "--ema must lie in 0..0.999999, got 2"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_name(
    write_recipe: Callable[[str], Path], train_arguments: Arguments, capsys: Text, text: str, says: str
) -> None:
    assert main([*train_arguments(), "--recipe", str(write_recipe(text))]) == 2
    assert says in capsys.readouterr().err


def test_an_unknown_recipe_is_refused_naming_those_there_are(train_arguments: Arguments, capsys: Text) -> None:
    assert main([*train_arguments(), "--recipe", "huge"]) == 2
    assert f"--recipe huge: neither a file nor one of {', '.join(recipe_names())}" in capsys.readouterr().err
