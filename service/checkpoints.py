"""Whether the checkpoints that are to be served are there.

Owns the look at their paths and the bundled names, which needs no torch: a worker that can never start
would be started again for ever. Knows nothing of what is in them.
"""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

CONFIG_FILE = "config.json"


class CheckpointMissing(RuntimeError):
    """A model is neither a checkpoint's path nor the name of a bundled one."""


def check_checkpoints(checkpoints: Iterable[str]) -> None:
    """Raise CheckpointMissing for the first that no worker would find."""
    for checkpoint in checkpoints:
        places = (Path(checkpoint), *(folder / checkpoint for folder in _bundled()))
        if not any(place.is_file() or (place / CONFIG_FILE).is_file() for place in places):
            known = sorted(file.parent.name for folder in _bundled() for file in folder.glob(f"*/{CONFIG_FILE}"))
            raise CheckpointMissing(
                f"no checkpoint {checkpoint!r}: it is neither a checkpoint's path nor one of {', '.join(known)}; "
                "see --models and TARFLOW_MODELS"
            )


def _bundled() -> Iterator[Path]:
    """The folders of the checkpoints that came with us."""
    spec = importlib.util.find_spec("model")  # found, not imported
    for package in (spec and spec.submodule_search_locations) or ():
        yield Path(package) / "checkpoints"
