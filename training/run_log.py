"""The logs of finished runs as one: epochs counted on, and the hours that the steps took.

Owns what is read off `log.jsonl` and `options.json` of a run's folder. Knows nothing of how a run is made or drawn.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class RunLog:
    """Records of steps, in order, and the hours they took; sampling, saving and waiting between runs not counted."""

    records: tuple[dict[str, Any], ...]
    hours: float


def read_run_logs(folders: Sequence[Path]) -> RunLog:
    """The logs of runs that followed each other.

    Raises:
        ValueError: A folder is not a run's, or its log is empty.
    """
    records: list[dict[str, Any]] = []
    seconds, epochs_before = 0.0, 0.0
    for folder in folders:
        try:
            batch_size = json.loads((folder / "options.json").read_text())["batch_size"]
            run = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
            seconds += sum(batch_size / record["images_per_s"] for record in run)
            records += [record | {"epoch": epochs_before + record["epoch"]} for record in run]
            epochs_before += run[-1]["epoch"]
        except (OSError, ValueError, KeyError, TypeError, IndexError, ZeroDivisionError) as error:
            raise ValueError(f"{folder}: not the folder of a run that made a step: {error!r}") from error
    return RunLog(tuple(records), seconds / SECONDS_PER_HOUR)
