"""Training by exact maximum likelihood.

Owns the objective, the optimiser and the loop; every source of randomness is in
`training.batches`, every file in `training.run_folder`.
"""

import math
import sys
import time
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model import TarFlow, load, save
from model.card import Card, SamplingDefaults
from training.batches import Batches
from training.image_folder import DataError, ImageFolder, read_image_folder
from training.options import TrainOptions
from training.process_group import ProcessGroup
from training.progress import Progress
from training.run_folder import ResumeError, RunFolder
from training.sample_sheet import write_sample_sheet
from training.schedule import learning_rate

BETAS = (0.9, 0.95)
MOST_SKIPPED_IN_A_ROW = 20


class Diverged(RuntimeError):
    """Training met non-finite gradients again and again."""


class Objective(nn.Module):
    """Mean negative log-likelihood in nats per dim, as a module so that it can be distributed."""

    def __init__(self, flow: TarFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Scalar loss of images (N, C, H, W) under labels (N,)."""
        return -self.flow.standard_log_prob(images, labels).mean() / self.flow.config.dims


@dataclass
class Trainer:
    """One training run on one process of a group."""

    options: TrainOptions
    data: ImageFolder
    group: ProcessGroup
    step: int = field(default=0, init=False)
    skipped: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        options, device = self.options, self.group.device
        torch.manual_seed(options.seed)
        self.flow = initial_flow(options, len(self.data.class_names)).to(device)
        self.average = AveragedModel(self.flow, multi_avg_fn=get_ema_multi_avg_fn(options.ema))
        self.batches = Batches(
            self.data,
            self.flow.config,
            options.batch_size,
            options.label_drop,
            options.seed,
            self.group.rank,
            self.group.world,
        )
        self.total_steps = round(options.epochs * self.batches.steps_per_epoch)
        if options.compile:
            for block in self.flow.blocks:
                block.compile()
        self.objective: nn.Module = Objective(self.flow)
        if self.group.world > 1:
            self.objective = DistributedDataParallel(self.objective)
        self.optimizer = torch.optim.AdamW(
            self.flow.parameters(), betas=BETAS, weight_decay=options.weight_decay, fused=True
        )
        self.folder = RunFolder(options.out)

    def run(self) -> None:
        """Train to the end, or to `stop_after` steps; resumes first where the options say so.

        Raises:
            ResumeError: The folder cannot be begun or resumed.
            Diverged: Too many steps in a row without finite gradients.
        """
        if self.options.resume:
            self._restore(self.folder.resume(self.options))
            if self.group.leads:
                self.folder.truncate_log(self.step)
        elif self.group.leads:
            self.folder.begin(self.options)
        last_step = min(self.total_steps, self.options.stop_after or self.total_steps)
        progress = Progress("training, step", self.total_steps, self.step, self.group.leads)
        while self.step < last_step:
            record = self._advance()
            progress.advance(note=f"loss {record['loss_nats_per_dim']}, {record['images_per_s']:.0f} images/s")
            if self.group.leads:
                self._write(record, is_last=self.step == last_step)

    def _advance(self) -> dict[str, Any]:
        """One optimiser step and its record."""
        started_s = time.perf_counter()
        rate = self._set_learning_rate()
        images, labels = self.batches.at(self.step, self.group.device)
        with torch.autocast(self.group.device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
            loss = self.objective(images, labels)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.flow.parameters(), self.options.clip or math.inf)
        self._apply(bool(norm.isfinite()))
        self.step += 1
        return {
            "step": self.step,
            "epoch": self.step / self.batches.steps_per_epoch,
            "loss_nats_per_dim": _json_number(self.group.mean(loss.detach())),
            "gradient_norm": _json_number(norm),
            "learning_rate": rate,
            "images_per_s": self.options.batch_size / (time.perf_counter() - started_s),
        }

    def _set_learning_rate(self) -> float:
        options = self.options
        warmup_steps = round(min(options.warmup_epochs, options.epochs / 2) * self.batches.steps_per_epoch)
        rate = learning_rate(
            self.step, self.total_steps, warmup_steps, options.learning_rate, options.final_learning_rate
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _apply(self, finite: bool) -> None:
        """Take the step, or skip it where the gradients are not finite."""
        if finite:
            self.skipped = 0
            self.optimizer.step()
            self.average.update_parameters(self.flow)
            return
        self.skipped += 1
        if self.skipped > MOST_SKIPPED_IN_A_ROW:
            raise Diverged(
                f"{self.skipped} steps in a row without finite gradients, the last {self.step}: lower --learning-rate"
            )

    def _write(self, record: dict[str, Any], is_last: bool) -> None:
        self.folder.log(record)
        if is_last or self.step % self.options.save_every == 0:
            self.folder.save_state(self._state())
            save(self._averaged(), self.folder.checkpoint, self._card())
        if is_last or (self.options.sheet_every and self.step % self.options.sheet_every == 0):
            write_sample_sheet(self._averaged(), self.folder.sheet(self.step), self.options.guidance)

    def _averaged(self) -> TarFlow:
        return cast(TarFlow, self.average.module)

    def _card(self) -> Card:
        options = self.options
        return Card(
            class_names=self.data.class_names if self.flow.config.num_classes else (),
            sampling=SamplingDefaults(guidance=options.guidance, denoise=options.noise_type == "gaussian"),
            trained_on=options.trained_on or options.data.name,
            data_licence=options.data_licence,
            command=options.command,
        )

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "data": self._data_facts(),
            "flow": self.flow.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def _data_facts(self) -> dict[str, Any]:
        """What decides which images a step sees, beside the options."""
        return {"images": len(self.data), "classes": list(self.data.class_names)}

    def _restore(self, state: dict[str, Any]) -> None:
        if state["data"] != self._data_facts():
            raise ResumeError(f"--resume: the run had {state['data']}, there is {self._data_facts()}")
        self.step = state["step"]
        self.flow.load_state_dict(state["flow"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def initial_flow(options: TrainOptions, num_classes: int) -> TarFlow:
    """A new flow, or one with the weights of `--init`.

    Raises:
        CheckpointError: There is no such checkpoint.
        ValueError: It is of another architecture; its noise may be another.
    """
    flow = TarFlow(options.architecture(num_classes))
    if options.init:
        start = load(options.init)
        if replace(start.config, noise_std=flow.config.noise_std, noise_type=flow.config.noise_type) != flow.config:
            raise ValueError(f"--init {options.init} is {start.config}, the options say {flow.config}")
        flow.load_state_dict(start.state_dict())
    return flow


def _json_number(value: Tensor) -> float | None:
    """A scalar to six digits; None for NaN and infinity, which JSON has no word for."""
    return round(value.item(), 6) if bool(value.isfinite()) else None


def train(options: TrainOptions, group: ProcessGroup) -> None:
    """Read the data and train.

    Raises:
        DataError: Data that cannot be used, or too little for one batch.
        ValueError: A batch that the processes cannot share evenly, or no step to make.
        ResumeError, Diverged: As `Trainer.run`.
    """
    if options.batch_size % group.world:
        raise ValueError(f"--batch-size must be a multiple of the {group.world} processes, got {options.batch_size}")
    data = read_image_folder(options.data, options.image_size, options.in_channels)
    if len(data) < options.batch_size:
        raise DataError(f"{options.data}: {len(data)} readable images are fewer than --batch-size {options.batch_size}")
    if group.leads:
        report_unreadable(data)
    trainer = Trainer(options, data, group)
    if not trainer.total_steps:
        raise ValueError(f"--epochs must make at least one step, got {options.epochs:g}")
    trainer.run()


def report_unreadable(data: ImageFolder, most: int = 10) -> None:
    """Say on stderr how many files were left out, and name the first of them."""
    if not data.unreadable:
        return
    print(f"{len(data.unreadable)} unreadable files left out of {len(data) + len(data.unreadable)}:", file=sys.stderr)
    for line in data.unreadable[:most]:
        print(f"  {line}", file=sys.stderr)
