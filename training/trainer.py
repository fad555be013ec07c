"""Training by exact maximum likelihood: the loop.

Owns when to read the device, to write, to draw and to stop. How a step is made is in
`training.learner`, every source of randomness in `training.batches`, every file in
`training.run_folder`.
"""

import math
import sys
import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from model import CheckpointError, TarFlow, save
from model.card import Card, SamplingDefaults
from model.checkpoint import load_card
from training.batches import Batches, place
from training.curve import write_curve
from training.image_folder import DataError, ImageFolder, read_image_folder, report_unreadable
from training.learner import Learner, initial_weights
from training.objective import ASKED
from training.options import TrainOptions
from training.process_group import ProcessGroup
from training.progress import Progress
from training.run_folder import ResumeError, RunFolder
from training.sample_sheet import write_sample_sheet
from training.schedule import learning_rate
from training.throughput import Throughput, peak_flops_per_s, training_flops
from training.trackers import Trackers, check_trackers

MOST_SKIPPED_IN_A_ROW = 20
# To read a loss, the host waits for the GPU; a CPU has nothing to wait for.
GPU_STEPS_BETWEEN_READINGS = 20
BYTES_PER_MIB = 2**20


class Diverged(RuntimeError):
    """Training met non-finite gradients again and again."""


@dataclass(frozen=True)
class Unread:
    """A step that was asked of the device: its number from 1, its rate, and what `Learner.learn` said, to be read."""

    step: int
    learning_rate: float
    said: Tensor


@dataclass
class Trainer:
    """One training run on one process of a group.

    Attributes:
        options: What the run is told.
        data: The images, in host memory.
        group: The process and its device.
        started_s: When the run began, by the monotonic clock; `stop_after_s` counts from there.
        step: Steps made.
        skipped: Steps among them that were left out, their gradients not finite.
        skipped_in_a_row: The last ones of them.
    """

    options: TrainOptions
    data: ImageFolder
    group: ProcessGroup
    started_s: float = field(default_factory=time.monotonic)
    step: int = field(default=0, init=False)
    skipped: int = field(default=0, init=False)
    skipped_in_a_row: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        options, device = self.options, self.group.device
        torch.manual_seed(options.seed)
        self.flow = TarFlow(options.architecture(len(self.data.class_names))).to(device)
        self.learner = Learner(self.flow, options, self.group)
        self.batches = Batches(
            place(self.data, device, options.device_data_gib),
            self.flow.config,
            options.batch_size,
            options.label_drop,
            options.seed,
            self.group.rank,
            self.group.world,
            options.flip,
        )
        self.total_steps = round(options.epochs * self.batches.steps_per_epoch)
        flops_per_image, peak = training_flops(self.flow.config, options.class_weight > 0), peak_flops_per_s(device)
        self.throughput = Throughput(flops_per_image, peak * self.group.world if peak else None)
        self.folder = RunFolder(options.out)
        self._unread: list[Unread] = []

    def run(self) -> None:
        """Train to the end, to `stop_after` steps or for `stop_after_s`; resumes first where the options say so.

        Raises:
            ResumeError: The folder cannot be begun or resumed.
            CheckpointError, ValueError: The checkpoint that it is to start from is not there, or another architecture.
            Diverged: Too many steps in a row without finite gradients.
        """
        self._begin()
        last_step = min(self.total_steps, self.options.stop_after or self.total_steps)
        with Trackers(self.options, self.step, self.group.leads and self.step < last_step) as trackers:
            self._train(last_step, trackers)
        self.group.wait()  # until the leading one has written everything
        if self.group.leads:
            stopped = f"stopped at step {self.step} of {self.total_steps}: --resume goes on"
            made = f"all {self.step} steps are made: {self.folder.checkpoint}"
            print(stopped if self.step < self.total_steps else made, file=sys.stderr)

    def _train(self, last_step: int, trackers: Trackers) -> None:
        """Make steps until the last one or the end of the time."""
        progress = Progress("training, step", self.total_steps, self.step, self.group.leads)
        while self.step < last_step:
            since_s = time.perf_counter()
            self._advance()
            while not self._must_read(last_step):
                self._advance()
            records, elapsed_s = self._read(since_s)
            is_last = self.step == last_step or 0 < self.options.stop_after_s <= elapsed_s
            if self.group.leads:
                self.folder.log(records)
                trackers.log(records)
            progress.advance(len(records), _note(records[-1]))
            self._write(is_last)
            if is_last:
                return

    def _begin(self) -> None:
        if self.options.resume or (self.options.resume_or_begin and self.folder.is_begun):
            self._restore(self.folder.resume(self.options))
            if self.group.leads:
                self.folder.truncate_log(self.step)
            return
        if self.options.init:
            self.learner.start_from(initial_weights(self.options.init, self.flow.config))
        if self.group.leads:
            self.folder.begin(self.options)

    def _advance(self) -> None:
        """Ask one optimiser step of the device."""
        rate = self._learning_rate()
        images, labels = self.batches.at(self.step, self.group.device)
        asks = self.options.class_weight > 0
        asked = self.batches.asked_at(self.step, self.group.device, ASKED) if asks else None
        said = self.learner.learn(self.step, images, labels, rate, asked)
        self.step += 1
        self._unread.append(Unread(self.step, rate, said))

    def _learning_rate(self) -> float:
        options = self.options
        warmup_steps = round(min(options.warmup_epochs, options.epochs / 2) * self.batches.steps_per_epoch)
        return learning_rate(
            self.step, self.total_steps, warmup_steps, options.learning_rate, options.final_learning_rate
        )

    def _must_read(self, last_step: int) -> bool:
        usual = GPU_STEPS_BETWEEN_READINGS if self.group.device.type == "cuda" else 1
        every = self.options.log_every or usual
        return self.step == last_step or self.step % every == 0 or self._saves() or self._draws()

    def _saves(self) -> bool:
        return self.step % self.options.save_every == 0

    def _draws(self) -> bool:
        return bool(self.options.sheet_every) and self.step % self.options.sheet_every == 0

    def _read(self, since_s: float) -> tuple[list[dict[str, Any]], float]:
        """Wait for the device; the records of the steps made since, and the seconds of the run, alike on all processes.

        Raises:
            Diverged: Too many steps in a row without finite gradients.
        """
        unread, self._unread = self._unread, []
        elapsed_s = torch.tensor([time.monotonic() - self.started_s], device=self.group.device)
        said = torch.cat([each.said.float() for each in unread] + [elapsed_s])
        *read, elapsed = self.group.mean(said).tolist()
        images_per_s = self.options.batch_size * len(unread) / (time.perf_counter() - since_s)
        speed = self.throughput.told(images_per_s)
        scalars = zip(read[::3], read[1::3], read[2::3], strict=True)
        return [self._record(each, *told) | speed for each, told in zip(unread, scalars, strict=True)], elapsed

    def _record(self, each: Unread, loss: float, of_classes: float, norm: float) -> dict[str, Any]:
        """The record of a step that was read; counts it where it was skipped."""
        skipped, weight = not math.isfinite(norm), self.options.class_weight
        self.skipped += skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        if self.skipped_in_a_row > MOST_SKIPPED_IN_A_ROW:
            raise Diverged(
                f"{self.skipped_in_a_row} steps in a row without finite gradients, the last {each.step}: "
                "lower --learning-rate"
            )
        return {
            "step": each.step,
            "epoch": each.step / self.batches.steps_per_epoch,
            "loss_nats_per_dim": _json_number(loss - of_classes),
            **({"class_loss_nats": _json_number(of_classes / weight)} if weight else {}),
            "gradient_norm": _json_number(norm),
            "learning_rate": each.learning_rate,
            "skipped": self.skipped,
        }

    def _write(self, is_last: bool) -> None:
        """Save and draw what is due; every process must come here, for they may hold the weights together."""
        saves, draws = is_last or self._saves(), is_last or self._draws()
        if not (saves or draws):
            return
        state = self._state()
        if not self.group.leads:
            return
        averaged = self.learner.average.averaged(state["average"])
        if saves:
            options = self.options
            part_bytes = int(options.part_mib * BYTES_PER_MIB) or None
            save(averaged, self.folder.checkpoint, self._card(), getattr(torch, options.weights_dtype), part_bytes)
            write_curve(self.folder.records(), self.folder.curve)
            # Last: where one of the others breaks off, the step is made again on resuming.
            self.folder.save_state(state)
        if draws:
            write_sample_sheet(averaged, self.folder.sheet(self.step), self._sampling())

    def _card(self) -> Card:
        options = self.options
        return replace(
            self._told(),
            class_names=self.data.class_names if self.flow.config.num_classes else (),
            sampling=self._sampling(),
            trained_on=options.trained_on or options.data.name,
            data_licence=options.data_licence,
            command=options.command,
        )

    def _sampling(self) -> SamplingDefaults:
        return SamplingDefaults(guidance=self.options.guidance, denoise=self.options.noise_type == "gaussian")

    def _told(self) -> Card:
        """What people said of the checkpoint, which further steps do not change; figures and pictures they do."""
        try:
            there = load_card(self.folder.checkpoint)
        except CheckpointError:
            return Card()
        return Card(hardware=there.hardware, intended_use=there.intended_use, limits=there.limits, notes=there.notes)

    def _state(self) -> dict[str, Any]:
        counts = {"step": self.step, "skipped": self.skipped, "skipped_in_a_row": self.skipped_in_a_row}
        return counts | {"data": self._data_facts()} | self.learner.state()

    def _data_facts(self) -> dict[str, Any]:
        """What decides which images a step sees, beside the options."""
        return {"images": len(self.data), "classes": list(self.data.class_names)}

    def _restore(self, state: dict[str, Any]) -> None:
        if state["data"] != self._data_facts():
            raise ResumeError(f"--resume: the run had {state['data']}, there is {self._data_facts()}")
        try:
            self.learner.restore(state)
            self.step, self.skipped = state["step"], state["skipped"]
            self.skipped_in_a_row = state["skipped_in_a_row"]
        except (KeyError, ValueError) as error:
            raise ResumeError(f"--resume: the state in {self.folder.path} is of another version: {error}") from error


def _json_number(value: float) -> float | None:
    """To six digits; None for NaN and infinity, which JSON has no word for."""
    return round(value, 6) if math.isfinite(value) else None


def _note(record: dict[str, Any]) -> str:
    """A record in the words of the progress line."""
    use = "" if record["mfu"] is None else f", {record['mfu']:.1%} of the peak"
    skipped = f", {record['skipped']} steps skipped" if record["skipped"] else ""
    return f"loss {record['loss_nats_per_dim']}, {record['images_per_s']:.1f} images/s{use}{skipped}"


def train(options: TrainOptions, group: ProcessGroup) -> None:
    """Read the data and train.

    Raises:
        DataError: Data that cannot be used, or too little for one batch.
        ValueError: A tracker that is not installed, a batch that cannot be shared evenly, or no step to make.
        ResumeError, Diverged: As `Trainer.run`.
    """
    started_s = time.monotonic()
    check_trackers(options)
    pieces = f" times the {options.accumulate} of --accumulate" if options.accumulate > 1 else ""
    if options.batch_size % (group.world * options.accumulate):
        raise ValueError(
            f"--batch-size must be a multiple of the {group.world} processes{pieces}, got {options.batch_size}"
        )
    if options.class_weight and options.batch_size < 2 * group.world * options.accumulate:
        raise ValueError(
            f"--batch-size must be at least two for each of the {group.world} processes{pieces} with --class-weight, "
            f"got {options.batch_size}"
        )
    data = read_image_folder(options.data, options.image_size, options.in_channels)
    if len(data) < options.batch_size:
        raise DataError(f"{options.data}: {len(data)} readable images are fewer than --batch-size {options.batch_size}")
    if group.leads:
        report_unreadable(data)
    trainer = Trainer(options, data, group, started_s)
    if not trainer.total_steps:
        raise ValueError(f"--epochs must make at least one step, got {options.epochs:g}")
    trainer.run()
