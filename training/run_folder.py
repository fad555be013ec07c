"""The folder of a training run: options, log, resumable state, curve, checkpoint, sample sheets.

Owns the files and when they are replaced. Knows nothing of how a step is made.

    options.json    what the run was told
    log.jsonl       one line per step
    state.pt        everything a resumed run needs
    curve.png       the loss so far
    checkpoint/     the averaged weights, ready to serve
    sheets/         sample sheets by step
"""

import json
import pickle
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.replacement import replacing
from training.options import TrainOptions


class ResumeError(ValueError):
    """A run that cannot be begun or resumed in this folder."""


@dataclass(frozen=True)
class RunFolder:
    """Files of the run in `path`."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """The checkpoint folder."""
        return self.path / "checkpoint"

    @property
    def curve(self) -> Path:
        """The picture of the loss."""
        return self.path / "curve.png"

    @property
    def is_begun(self) -> bool:
        """Whether there is a state to resume."""
        return (self.path / "state.pt").exists()

    def sheet(self, step: int) -> Path:
        """Where the sample sheet of a step goes."""
        return self.path / "sheets" / f"{step:07d}.png"

    def begin(self, options: TrainOptions) -> None:
        """Make the folder for a new run.

        Raises:
            ResumeError: It holds a run already.
        """
        if self.is_begun:
            raise ResumeError(
                f"--out {self.path} holds a run already: add --resume to continue it, or name another folder"
            )
        (self.path / "sheets").mkdir(parents=True, exist_ok=True)
        _replace(self.path / "options.json", json.dumps(options.to_json(), indent=2).encode())
        _replace(self.path / "log.jsonl", b"")

    def resume(self, options: TrainOptions) -> dict[str, Any]:
        """The state to continue from.

        Raises:
            ResumeError: There is none, it cannot be read, or it belongs to a run with other options.
        """
        try:
            earlier = json.loads((self.path / "options.json").read_text())
            state = torch.load(self.path / "state.pt", map_location="cpu", weights_only=True)
        except (OSError, EOFError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
            raise ResumeError(f"--resume: no run to continue in {self.path}: {error}") from error
        if differences := options.differences(earlier):
            raise ResumeError(f"--resume: {self.path} holds another run ({'; '.join(differences)})")
        return state

    def truncate_log(self, steps: int) -> None:
        """Drop the records of steps that were made but never saved."""
        lines = (self.path / "log.jsonl").read_bytes().splitlines(keepends=True)
        _replace(self.path / "log.jsonl", b"".join(lines[:steps]))

    def log(self, records: Iterable[dict[str, Any]]) -> None:
        """Append the records of steps, one line each."""
        with (self.path / "log.jsonl").open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)

    def records(self) -> list[dict[str, Any]]:
        """All records so far."""
        return [json.loads(line) for line in (self.path / "log.jsonl").read_text().splitlines()]

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the resumable state, whole or not at all."""
        with replacing(self.path / "state.pt") as partial:
            torch.save(state, partial)


def _replace(file: Path, content: bytes) -> None:
    with replacing(file) as partial:
        partial.write_bytes(content)
