"""Options of a training run by name: what a bundled model was, or is to be, trained with.

Owns the files in `recipes/` and those of a user. Knows nothing of what an option means.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from training.options import TrainOptions

RECIPES = Path(__file__).parent / "recipes"


def read_recipe(name: str) -> dict[str, Any]:
    """Options by field name, from a JSON file or a bundled recipe's name.

    Raises:
        ValueError: There is neither, or it is no JSON object of options.
    """
    file = RECIPES / f"{name}.json"
    if Path(name).is_file():
        file = Path(name)
    elif not file.is_file():
        raise ValueError(f"--recipe {name}: neither a file nor one of {', '.join(recipe_names())}")
    try:
        options = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"--recipe {file}: {error}") from error
    if not isinstance(options, dict):
        raise ValueError(f"--recipe {file}: not a JSON object of options")
    types = {option.name: option.type for option in fields(TrainOptions)}
    if unknown := sorted(options.keys() - types.keys()):
        raise ValueError(f"--recipe {file}: there are no options {unknown}")
    return {option: _value(file, option, types[option], value) for option, value in options.items()}


def _value(file: Path, option: str, kind: Any, value: object) -> Any:
    """A JSON value as the option has it."""
    choices = get_args(kind)
    wanted = (int, float) if kind is float else kind if kind in (int, bool) else str
    if (
        not isinstance(value, wanted)
        or (isinstance(value, bool) and kind is not bool)
        or (choices and value not in choices)
    ):
        raise ValueError(f"--recipe {file}: {option} must be {choices or kind.__name__}, got {value!r}")
    return value if choices else kind(value)


def recipe_names() -> list[str]:
    """The bundled recipes."""
    return sorted(file.stem for file in RECIPES.glob("*.json"))
