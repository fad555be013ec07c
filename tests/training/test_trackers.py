"""Owns the laws of trackers: they hear what the log holds, and one that is not there is said before the first step."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.__main__ import main

RunMaker = Callable[..., Path]
Records = Callable[[Path], list[dict[str, Any]]]


def told(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads: (step, value) by name."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run / "tensorboard")).Reload()
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


@pytest.fixture
def tensorboard() -> None:
    """Only where it is installed."""
    pytest.importorskip("tensorboard")


@pytest.mark.usefixtures("tensorboard")
def test_tensorboard_shows_the_loss_of_every_step(make_run: RunMaker, records: Records) -> None:
    run = make_run(tensorboard=True)
    logged = {record["step"]: record["loss_nats_per_dim"] for record in records(run)}
    assert dict(told(run)["loss_nats_per_dim"]) == pytest.approx(logged)


@pytest.mark.usefixtures("tensorboard")
def test_tensorboard_shows_every_figure_of_the_log_that_is_one(make_run: RunMaker, records: Records) -> None:
    run = make_run(tensorboard=True)
    figures = {name for name, value in records(run)[0].items() if value is not None}
    assert set(told(run)) == figures - {"step"}


@pytest.mark.usefixtures("tensorboard")
def test_a_resumed_run_goes_on_in_the_same_curve(make_run: RunMaker) -> None:
    make_run(tensorboard=True, stop_after=2)
    run = make_run(tensorboard=True, resume=True)
    assert [step for step, _ in told(run)["learning_rate"]] == [1, 2, 3, 4, 5, 6]


def test_without_the_option_nothing_is_written_for_tensorboard(make_run: RunMaker) -> None:
    assert not (make_run() / "tensorboard").exists()


@pytest.mark.parametrize(
    ("option", "module", "says"),
    [
        (["--tensorboard"], "torch.utils.tensorboard", "--tensorboard needs TensorBoard: pip install tensorboard"),
        (["--wandb", "flows"], "wandb", "--wandb needs Weights & Biases: pip install wandb"),
    ],
)
def test_a_tracker_that_is_not_installed_is_said_before_the_run_begins(
    train_arguments: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    option: list[str],
    module: str,
    says: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main([*train_arguments(), *option]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "command_line_run").exists()
