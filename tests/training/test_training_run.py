"""Owns the laws of one run: what it learns, what it writes, and that non-finite gradients do not get in."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from model import TarFlow, load
from model.card import SamplingDefaults
from model.checkpoint import load_card
from training.batches import Batches
from training.image_folder import read_image_folder
from training.options import TrainOptions
from training.process_group import ProcessGroup
from training.run_folder import RunFolder
from training.sample_sheet import write_sample_sheet
from training.throughput import training_flops
from training.trainer import MOST_SKIPPED_IN_A_ROW, Diverged, Trainer, train

OptionsMaker = Callable[..., TrainOptions]
RunMaker = Callable[..., Path]
Records = Callable[[Path], list[dict[str, Any]]]
TOLD = {"step", "epoch", "loss_nats_per_dim", "gradient_norm", "learning_rate", "skipped"}
SPEED = {"images_per_s", "model_flops_per_s", "mfu"}
CLASSES = "class_loss_nats"
STEPS = 6


@dataclass(frozen=True)
class Poisoned(Batches):
    """Batches whose images are not numbers at the steps of `poison`."""

    poison: frozenset[int] = frozenset()

    def at(self, step: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """As ever, or NaN."""
        images, labels = super().at(step, device)
        return (images * torch.nan if step in self.poison else images), labels


def trainer_of(options: TrainOptions, group: ProcessGroup, *poison: int) -> Trainer:
    """A trainer that meets NaN at some steps."""
    trainer = Trainer(options, read_image_folder(options.data, options.image_size, options.in_channels), group)
    trainer.batches = Poisoned(**vars(trainer.batches), poison=frozenset(poison))
    return trainer


def test_training_lowers_the_loss(make_run: RunMaker, records: Records) -> None:
    found = [record["loss_nats_per_dim"] for record in records(make_run(epochs=20.0, learning_rate=0.01))]
    assert sum(found[-6:]) < sum(found[:6]) - 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"unconditional": True},
        {"noise_type": "uniform"},
        {"clip": 0.0},
        {"ema": 0.0},
        {"flip": True},
        {"accumulate": 4},
        {"precision": "bf16"},
        {"class_weight": 0.1},
        {"weights_dtype": "float16"},
        {"weights_dtype": "bfloat16", "part_mib": 0.01},
    ],
)
def test_every_kind_of_run_ends_with_a_checkpoint_that_loads(make_run: RunMaker, changes: dict[str, Any]) -> None:
    assert isinstance(load(make_run(**changes) / "checkpoint"), TarFlow)


def test_two_runs_of_one_command_end_alike(make_run: RunMaker) -> None:
    first, second = (load(make_run(out=out) / "checkpoint").state_dict() for out in ("first", "second"))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_another_seed_ends_elsewhere(make_run: RunMaker) -> None:
    first, second = (load(make_run(out=f"{seed}", seed=seed) / "checkpoint").state_dict() for seed in (0, 1))
    assert not torch.equal(first["blocks.0.proj_in.weight"], second["blocks.0.proj_in.weight"])


def test_the_log_holds_one_json_record_a_step(make_run: RunMaker, records: Records) -> None:
    found = records(make_run())
    assert [record["step"] for record in found] == list(range(1, STEPS + 1))
    assert {frozenset(record) for record in found} == {frozenset(TOLD | SPEED)}


def test_what_the_classes_add_stands_beside_the_loss_of_the_images(make_run: RunMaker, records: Records) -> None:
    plain, weighed = (records(make_run(out=f"{weight}", class_weight=weight))[0] for weight in (0.0, 0.5))
    assert weighed[CLASSES] > 0
    assert weighed["loss_nats_per_dim"] == plain["loss_nats_per_dim"]


def test_every_figure_of_the_log_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    assert [name for name in sorted(TOLD | SPEED | {CLASSES}) if f"`{name}`" not in text] == []


def test_the_log_counts_epochs(make_run: RunMaker, records: Records) -> None:
    assert [record["epoch"] for record in records(make_run())] == pytest.approx([step / 3 for step in range(1, 7)])


def test_the_learning_rate_warms_up_for_the_stated_epochs(make_run: RunMaker, records: Records) -> None:
    rates = [record["learning_rate"] for record in records(make_run(learning_rate=0.003))]
    assert rates[:4] == pytest.approx([0.001, 0.002, 0.003, 0.003])


def test_the_checkpoint_holds_the_averaged_weights(make_run: RunMaker) -> None:
    run = make_run(ema=0.5)
    state = torch.load(run / "state.pt", weights_only=True)
    loaded = dict(load(run / "checkpoint").named_parameters())
    torch.testing.assert_close(loaded, state["average"], rtol=0, atol=0, check_dtype=True)


def test_the_card_says_what_made_the_checkpoint(make_run: RunMaker) -> None:
    run = make_run(guidance=1.5, trained_on="noise", data_licence="CC0", command="tarflow train --here")
    card = load_card(run / "checkpoint")
    assert card.class_names == ("cat", "dog")
    assert card.sampling == SamplingDefaults(guidance=1.5, denoise=True)
    assert (card.trained_on, card.data_licence, card.command) == ("noise", "CC0", "tarflow train --here")


def test_data_without_a_name_is_called_by_its_folder(make_run: RunMaker) -> None:
    assert load_card(make_run() / "checkpoint").trained_on == "data"


def test_an_unconditional_card_names_no_classes(make_run: RunMaker) -> None:
    assert load_card(make_run(unconditional=True) / "checkpoint").class_names == ()


def test_a_dequantised_flow_is_not_denoised_by_default(make_run: RunMaker) -> None:
    assert not load_card(make_run(noise_type="uniform") / "checkpoint").sampling.denoise


def test_the_options_are_written_as_given(make_options: OptionsMaker, alone: ProcessGroup) -> None:
    options = make_options()
    train(options, alone)
    assert json.loads((options.out / "options.json").read_text()) == options.to_json()


def test_a_sheet_comes_every_so_many_steps_and_at_the_end(make_run: RunMaker) -> None:
    run = make_run(sheet_every=4)
    assert sorted(file.name for file in (run / "sheets").iterdir()) == ["0000004.png", "0000006.png"]


@pytest.mark.parametrize(("changes", "rows"), [({}, 2), ({"unconditional": True}, 10)])
def test_a_sheet_is_a_grey_png_of_ten_columns_and_a_row_for_each_class(
    make_run: RunMaker, changes: dict[str, Any], rows: int
) -> None:
    with Image.open(make_run(**changes) / "sheets" / "0000006.png") as sheet:
        assert (sheet.format, sheet.mode, sheet.size) == ("PNG", "L", (10 * (8 + 2) + 2, rows * (8 + 2) + 2))


def test_a_sheet_of_colours_is_rgb(make_shifting_flow: Callable[..., TarFlow], tmp_path: Path) -> None:
    file = tmp_path / "new" / "sheet.png"
    write_sample_sheet(make_shifting_flow(in_channels=3), file, SamplingDefaults(), columns=3)
    with Image.open(file) as sheet:
        assert (sheet.mode, sheet.size) == ("RGB", (32, 102))


def test_nothing_half_written_is_left_behind(make_run: RunMaker) -> None:
    names = {file.name for file in make_run().iterdir()}
    assert names == {"checkpoint", "curve.png", "log.jsonl", "options.json", "sheets", "state.pt"}


def test_a_step_without_finite_gradients_changes_no_weight(make_options: OptionsMaker, alone: ProcessGroup) -> None:
    trainer = trainer_of(make_options(), alone, 2)
    for _ in range(2):
        trainer._advance()
    before = deepcopy(trainer.learner.state())
    trainer._advance()
    after = trainer.learner.state()
    del before["optimizer"]["param_groups"], after["optimizer"]["param_groups"]  # the learning rate goes on
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_training_goes_on_after_a_step_without_finite_gradients(
    make_options: OptionsMaker, alone: ProcessGroup
) -> None:
    trainer = trainer_of(make_options(), alone, 2)
    trainer.run()
    assert load(RunFolder(trainer.options.out).checkpoint).blocks[0].proj_in.weight.isfinite().all()


def test_a_skipped_step_is_logged_as_json(make_options: OptionsMaker, alone: ProcessGroup, records: Records) -> None:
    trainer = trainer_of(make_options(), alone, 2)
    trainer.run()
    assert [record["loss_nats_per_dim"] is None for record in records(trainer.options.out)][:4] == [
        False,
        False,
        True,
        False,
    ]


def test_too_many_steps_in_a_row_without_finite_gradients_end_the_run(
    make_options: OptionsMaker, alone: ProcessGroup
) -> None:
    trainer = trainer_of(make_options(epochs=20.0), alone, *range(60))
    with pytest.raises(Diverged, match=rf"{MOST_SKIPPED_IN_A_ROW + 1} steps in a row .*lower --learning-rate"):
        trainer.run()
    assert trainer.step == MOST_SKIPPED_IN_A_ROW + 1


@pytest.mark.parametrize("log_every", [1, 4, 100])
def test_skipped_steps_are_counted_however_seldom_they_are_read(
    make_options: OptionsMaker, alone: ProcessGroup, records: Records, log_every: int
) -> None:
    trainer = trainer_of(make_options(log_every=log_every), alone, 1, 4)
    trainer.run()
    assert [record["skipped"] for record in records(trainer.options.out)] == [0, 1, 1, 1, 2, 2]


def test_steps_in_a_row_are_seen_across_readings(make_options: OptionsMaker, alone: ProcessGroup) -> None:
    trainer = trainer_of(make_options(epochs=20.0, log_every=15), alone, *range(5, 60))
    with pytest.raises(Diverged, match=f"{MOST_SKIPPED_IN_A_ROW + 1} steps in a row"):
        trainer.run()


def test_a_run_that_diverged_keeps_no_step_since_its_last_save(make_options: OptionsMaker, alone: ProcessGroup) -> None:
    trainer = trainer_of(make_options(epochs=20.0, log_every=15, save_every=6), alone, *range(6, 60))
    with pytest.raises(Diverged):
        trainer.run()
    assert torch.load(trainer.options.out / "state.pt", weights_only=True)["step"] % 6 == 0


def test_how_often_the_losses_are_read_changes_none_of_them(make_run: RunMaker, records: Records) -> None:
    seldom, often = (records(make_run(out=f"every {n}", log_every=n)) for n in (4, 1))
    assert [each["loss_nats_per_dim"] for each in seldom] == [each["loss_nats_per_dim"] for each in often]


def test_the_log_counts_the_arithmetic_of_the_images_it_saw(make_run: RunMaker, records: Records) -> None:
    run = make_run()
    flops = training_flops(load(run / "checkpoint").config)
    for record in records(run):
        assert record["model_flops_per_s"] == pytest.approx(record["images_per_s"] * flops, rel=1e-2)


def test_a_device_whose_peak_nobody_knows_has_no_utilisation(make_run: RunMaker, records: Records) -> None:
    assert {record["mfu"] for record in records(make_run())} == {None}


def test_steps_without_finite_gradients_count_only_in_a_row(make_options: OptionsMaker, alone: ProcessGroup) -> None:
    poison = set(range(60)) - {MOST_SKIPPED_IN_A_ROW, 2 * MOST_SKIPPED_IN_A_ROW + 1}
    trainer = trainer_of(make_options(epochs=20.0, stop_after=60), alone, *(step for step in poison if step < 60))
    trainer.run()
    assert trainer.step == 60


@pytest.mark.parametrize("weights", ["flow", "average"])
def test_a_run_may_start_from_the_weights_of_a_checkpoint(
    make_run: RunMaker, make_options: OptionsMaker, alone: ProcessGroup, weights: str
) -> None:
    start = make_run(out="start") / "checkpoint"
    trainer = trainer_of(make_options(init=str(start), noise_std=0.2), alone)
    trainer._begin()
    expected = dict(load(start).named_parameters())
    torch.testing.assert_close(trainer.learner.state()[weights], expected, rtol=0, atol=0)


def test_a_start_of_another_architecture_is_refused_by_name(make_run: RunMaker) -> None:
    start = make_run(out="start") / "checkpoint"
    with pytest.raises(ValueError, match=r"--init .*start.* blocks=2.*, the options say .*blocks=3"):
        make_run(init=str(start), blocks=3)


def test_a_batch_that_the_processes_cannot_share_is_refused(make_options: OptionsMaker) -> None:
    with pytest.raises(ValueError, match="--batch-size must be a multiple of the 3 processes, got 8"):
        train(make_options(), ProcessGroup(0, 3, torch.device("cpu")))


def test_a_batch_too_small_to_ask_half_of_is_refused(make_options: OptionsMaker) -> None:
    with pytest.raises(ValueError, match="at least two for each of the 1 processes times the 8 of --accumulate with"):
        train(make_options(class_weight=0.1, accumulate=8), ProcessGroup(0, 1, torch.device("cpu")))
