"""Owns the laws of resuming: a run cut anywhere ends as the unbroken one, and no other run gets in."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model import load
from training.batches import Batches
from training.image_folder import ImageFolder, read_image_folder
from training.options import TrainOptions
from training.process_group import ProcessGroup
from training.run_folder import ResumeError
from training.trainer import Trainer, train

OptionsMaker = Callable[..., TrainOptions]
RunMaker = Callable[..., Path]
Records = Callable[[Path], list[dict[str, Any]]]
STEPS = 6
SPEED = {"images_per_s", "model_flops_per_s", "mfu"}


class PowerCut(Exception):
    """The process ended here."""


@dataclass(frozen=True)
class CutShort(Batches):
    """Batches that end with a power cut instead of step `last`."""

    last: int = 0

    def at(self, step: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """As ever, until `last`."""
        if step == self.last:
            raise PowerCut
        return super().at(step, device)


def folder_of(options: TrainOptions) -> ImageFolder:
    """The data of a run."""
    return read_image_folder(options.data, options.image_size, options.in_channels)


def cut(options: TrainOptions, group: ProcessGroup, last: int) -> None:
    """Begin a run that dies after `last` steps, whatever it had saved by then."""
    trainer = Trainer(options, folder_of(options), group)
    trainer.batches = CutShort(**vars(trainer.batches), last=last)
    with pytest.raises(PowerCut):
        trainer.run()


def told(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records without the figures that are a matter of time."""
    return [{key: value for key, value in record.items() if key not in SPEED} for record in records]


def state_of(run: Path) -> dict[str, Any]:
    """The saved state of a run, as far as it is numbers."""
    state: dict[str, Any] = torch.load(run / "state.pt", weights_only=True)
    return {name: value for name, value in state.items() if name != "data"}


@pytest.mark.parametrize(("first_leg", "precision"), [(1, "float32"), (3, "float32"), (5, "float32"), (3, "bf16")])
def test_a_resumed_run_logs_the_losses_of_the_unbroken_one(
    make_run: RunMaker, records: Records, first_leg: int, precision: str
) -> None:
    whole = make_run(out="whole", precision=precision)
    make_run(stop_after=first_leg, precision=precision)
    resumed = make_run(resume=True, precision=precision)
    assert told(records(resumed)) == told(records(whole))


@pytest.mark.parametrize(
    ("first_leg", "changes"),
    [(1, {}), (3, {}), (5, {}), (3, {"accumulate": 2, "flip": True, "log_every": 4, "unconditional": True})],
)
def test_a_resumed_run_ends_with_the_state_of_the_unbroken_one(
    make_run: RunMaker, first_leg: int, changes: dict[str, Any]
) -> None:
    whole = make_run(out="whole", **changes)
    make_run(stop_after=first_leg, **changes)
    torch.testing.assert_close(state_of(make_run(resume=True, **changes)), state_of(whole), rtol=0, atol=0)


def test_a_run_in_pieces_ends_with_the_state_of_the_unbroken_one(make_run: RunMaker) -> None:
    whole = make_run(out="whole")
    for _ in range(STEPS):  # so short a time is over after the first step
        pieces = make_run(stop_after_s=1e-9, resume_or_begin=True)
    torch.testing.assert_close(state_of(pieces), state_of(whole), rtol=0, atol=0)


def test_a_piece_ends_with_the_first_reading_after_its_time(make_run: RunMaker, records: Records) -> None:
    pieces = make_run(stop_after_s=1e-9, log_every=2)
    assert [record["step"] for record in records(pieces)] == [1, 2]


def test_a_piece_leaves_a_checkpoint_a_curve_and_a_sheet(make_run: RunMaker) -> None:
    piece = make_run(stop_after_s=1e-9)
    assert load(piece / "checkpoint").config.image_size == 8
    assert (piece / "curve.png").exists()
    assert (piece / "sheets" / "0000001.png").exists()


def test_time_that_does_not_run_out_stops_nothing(make_run: RunMaker, records: Records) -> None:
    assert len(records(make_run(stop_after_s=1e9))) == STEPS


def test_a_piece_says_how_to_go_on(make_run: RunMaker, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(stop_after_s=1e-9)
    assert "stopped at step 1 of 6: --resume goes on" in capsys.readouterr().err


def test_a_finished_run_says_so_again_when_it_is_resumed(
    make_run: RunMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    capsys.readouterr()
    make_run(resume=True)
    assert capsys.readouterr().err == f"all 6 steps are made: {run / 'checkpoint'}\n"


def test_skipped_steps_are_still_counted_after_resuming(
    make_options: OptionsMaker, make_run: RunMaker, alone: ProcessGroup, records: Records
) -> None:
    trainer = Trainer(options := make_options(stop_after=3), folder_of(options), alone)
    trainer.skipped = 2
    trainer.run()
    assert records(make_run(resume=True))[-1]["skipped"] == 2


def test_an_option_that_an_earlier_run_did_not_know_had_its_default(make_run: RunMaker, records: Records) -> None:
    run = make_run(stop_after=1)
    known = json.loads((run / "options.json").read_text())
    del known["flip"]
    (run / "options.json").write_text(json.dumps(known))
    assert len(records(make_run(resume=True))) == STEPS


def test_a_state_of_another_version_is_refused(make_run: RunMaker) -> None:
    run = make_run(stop_after=1)
    state = torch.load(run / "state.pt", weights_only=True)
    del state["skipped"]
    torch.save(state, run / "state.pt")
    with pytest.raises(ResumeError, match="of another version: 'skipped'"):
        make_run(resume=True)


def test_a_run_cut_between_saves_ends_with_the_weights_of_the_unbroken_one(
    make_options: OptionsMaker, make_run: RunMaker, alone: ProcessGroup
) -> None:
    whole = make_run(out="whole")
    cut(make_options(save_every=2), alone, last=5)
    resumed = make_run(resume=True)
    ours, theirs = (load(run / "checkpoint").state_dict() for run in (resumed, whole))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_steps_made_but_never_saved_are_logged_once(
    make_options: OptionsMaker, make_run: RunMaker, alone: ProcessGroup, records: Records
) -> None:
    whole = make_run(out="whole")
    options = make_options(save_every=2)
    cut(options, alone, last=5)
    assert [record["step"] for record in records(options.out)] == [1, 2, 3, 4, 5]
    assert told(records(make_run(resume=True))) == told(records(whole))


def test_a_line_torn_by_the_power_cut_is_dropped(
    make_options: OptionsMaker, make_run: RunMaker, alone: ProcessGroup, records: Records
) -> None:
    options = make_options(save_every=2)
    cut(options, alone, last=3)
    with (options.out / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert [record["step"] for record in records(make_run(resume=True))] == list(range(1, STEPS + 1))


def test_a_run_that_began_from_a_checkpoint_is_resumed_without_it(make_run: RunMaker) -> None:
    start = make_run(out="start", seed=1) / "checkpoint"
    whole = make_run(out="whole", init=str(start))
    make_run(init=str(start), stop_after=2)
    shutil.rmtree(start)
    torch.testing.assert_close(state_of(make_run(init=str(start), resume=True)), state_of(whole), rtol=0, atol=0)


def test_a_save_that_fails_at_the_last_step_is_made_up_for_on_resume(make_run: RunMaker) -> None:
    whole = make_run(out="whole")
    run = make_run(stop_after=3)
    (run / "checkpoint").rename(run / "aside")
    (run / "checkpoint").touch()  # a file where a folder must be
    with pytest.raises(FileExistsError):
        make_run(resume=True)
    (run / "checkpoint").unlink()
    ours, theirs = (load(run / "checkpoint").state_dict() for run in (make_run(resume=True), whole))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_run_cut_before_its_first_save_can_be_begun_anew(
    make_options: OptionsMaker, make_run: RunMaker, alone: ProcessGroup, records: Records
) -> None:
    cut(make_options(), alone, last=2)
    assert len(records(make_run())) == STEPS


def test_resuming_a_finished_run_changes_nothing(make_run: RunMaker) -> None:
    run = make_run()
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    make_run(resume=True)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_an_existing_run_is_refused_without_resume(make_run: RunMaker) -> None:
    make_run()
    with pytest.raises(ResumeError, match=r"run holds a run already: add --resume to continue it"):
        make_run()


def test_a_refused_run_leaves_the_existing_one_as_it_was(make_run: RunMaker) -> None:
    run = make_run()
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(ResumeError):
        make_run()
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def test_a_run_is_begun_where_there_is_none_to_resume(make_run: RunMaker, records: Records) -> None:
    assert len(records(make_run(resume_or_begin=True))) == STEPS


def test_resuming_without_a_run_is_refused(make_run: RunMaker) -> None:
    with pytest.raises(ResumeError, match=r"--resume: no run to continue in .*run"):
        make_run(resume=True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a state"])
def test_resuming_from_a_damaged_state_is_refused(make_run: RunMaker, content: bytes) -> None:
    (make_run(stop_after=1) / "state.pt").write_bytes(content)
    with pytest.raises(ResumeError, match="no run to continue"):
        make_run(resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "--seed: was 0, is 1"),
        ({"learning_rate": 0.01}, r"--learning-rate: was 0\.001, is 0\.01"),
        ({"blocks": 3}, "--blocks: was 2, is 3"),
        ({"noise_type": "uniform"}, "--noise-type: was gaussian, is uniform"),
        ({"unconditional": True}, "--unconditional: was False, is True"),
        ({"flip": True}, "--flip: was False, is True"),
    ],
)
def test_resuming_with_another_option_is_refused_by_name(
    make_run: RunMaker, change: dict[str, Any], message: str
) -> None:
    make_run(stop_after=1)
    with pytest.raises(ResumeError, match=f"holds another run \\({message}\\)"):
        make_run(resume=True, **change)


def test_every_other_option_is_named_at_once(make_run: RunMaker) -> None:
    make_run(stop_after=1)
    with pytest.raises(ResumeError, match=r"--ema: was 0\.999, is 0\.9; --seed: was 0, is 1"):
        make_run(resume=True, seed=1, ema=0.9)


@pytest.mark.parametrize(
    "change",
    [
        {"save_every": 1},
        {"sheet_every": 2},
        {"stop_after": 4},
        {"log_every": 5},
        {"command": "other"},
        {"weights_dtype": "float16"},
        {"part_mib": 0.01},
        {"accumulate": 2},
    ],
)
def test_what_is_written_how_it_is_computed_and_where_to_stop_may_change(
    make_run: RunMaker, records: Records, change: dict[str, Any]
) -> None:
    make_run(stop_after=1)
    assert len(records(make_run(resume=True, **change))) == change.get("stop_after", STEPS)


def test_a_resumed_run_may_be_made_longer(make_run: RunMaker, records: Records) -> None:
    make_run()
    assert len(records(make_run(resume=True, epochs=3.0))) == STEPS * 3 // 2


def test_resuming_on_other_data_is_refused(make_options: OptionsMaker, alone: ProcessGroup) -> None:
    options = make_options(stop_after=1)
    train(options, alone)
    next(options.data.rglob("*.png")).unlink()
    with pytest.raises(ResumeError, match=r"the run had .*'images': 24.* there is .*'images': 23"):
        train(replace(options, resume=True, stop_after=0), alone)


def test_the_data_may_have_moved(make_options: OptionsMaker, alone: ProcessGroup, records: Records) -> None:
    options = make_options(stop_after=1)
    train(options, alone)
    moved = options.data.rename(options.data.with_name("moved"))
    train(replace(options, data=moved, resume=True, stop_after=0), alone)
    assert len(records(options.out)) == STEPS
