"""Owns the laws of reading finished runs: epochs go on, and hours are the steps' own."""

import json
from pathlib import Path

import pytest

from training.run_log import read_run_logs


def make_run(folder: Path, batch_size: int, *speeds: float) -> Path:
    """A run of a step for each speed in images a second, two steps an epoch."""
    folder.mkdir()
    (folder / "options.json").write_text(json.dumps({"batch_size": batch_size}))
    records = [{"epoch": (index + 1) / 2, "images_per_s": speed} for index, speed in enumerate(speeds)]
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def test_hours_are_the_sum_over_the_steps(tmp_path: Path) -> None:
    first = make_run(tmp_path / "a", 60, 1 / 60, 1 / 30)  # an hour and half an hour
    second = make_run(tmp_path / "b", 36, 0.01)  # an hour
    assert read_run_logs([first, second]).hours == pytest.approx(2.5)


def test_epochs_go_on_where_the_run_before_ended(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, 8, 1.0, 1.0, 1.0) for name in "ab"]
    assert [record["epoch"] for record in read_run_logs(runs).records] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


@pytest.mark.parametrize(
    ("file", "text"), [("log.jsonl", ""), ("log.jsonl", "{"), ("log.jsonl", '{"epoch": 1}'), ("options.json", "{}")]
)
def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path: Path, file: str, text: str) -> None:
    folder = make_run(tmp_path / "a", 8, 1.0)
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=f"{folder}: not the folder of a run"):
        read_run_logs([make_run(tmp_path / "before", 8, 1.0), folder])
