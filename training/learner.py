"""A flow that learns: one optimiser step at a time, on one process of a group.

Owns the optimiser, the averaged weights, and how a step is cut into pieces and spread over
processes. No step makes the host wait for the device. Knows nothing of data, logs or files.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model import TarFlow, TarFlowConfig, load
from training.average import Average
from training.objective import Objective
from training.options import TrainOptions
from training.process_group import ProcessGroup
from training.sharding import State, gathered, restore_optimizer, shard, take_whole, whole, whole_optimizer

BETAS = (0.9, 0.95)

Asked = tuple[Tensor, Tensor]
"""Images (K, C, H, W), and their classes (K,)."""


class Learner:
    """A flow, its optimiser and its average, made ready for the options' precision and processes."""

    def __init__(self, flow: TarFlow, options: TrainOptions, group: ProcessGroup) -> None:
        self.flow, self.options, self.group = flow, options, group
        if options.compile:
            for block in flow.blocks:
                # Not `block.compile()`: it would compile the hooks that gather shards, too.
                block.forward = torch.compile(block.forward)  # type: ignore[method-assign]
        self.objective: nn.Module = Objective(flow, options.class_weight)
        if group.world > 1 and options.shard:
            shard(self.objective, flow)
        elif group.world > 1:
            self.objective = DistributedDataParallel(self.objective, gradient_as_bucket_view=True)
        self.average = Average(flow, options.ema)
        self.optimizer = torch.optim.AdamW(
            flow.parameters(), betas=BETAS, weight_decay=options.weight_decay, fused=True
        )

    def learn(
        self, step: int, images: Tensor, labels: Tensor | None, learning_rate: float, asked: Asked | None = None
    ) -> Tensor:
        """Take a step; (3,) on the device: this process's loss, the share of the classes in it, the gradient's norm.

        `asked` are images to be asked about and their classes, as `Batches.asked_at` gives them. A step whose gradients
        are not finite changes nothing. That is decided on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        losses = self._gradients((images, labels, *(asked or (None, None))))
        norm = gathered(nn.utils.clip_grad_norm_(self.flow.parameters(), self.options.clip or math.inf))
        finite = norm.isfinite().float()
        self.optimizer.found_inf = 1 - finite  # type: ignore[attr-defined] # fused AdamW then leaves all as it was
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(step, finite)
        return torch.cat((losses, norm[None]))

    def _gradients(self, batch: Sequence[Tensor | None]) -> Tensor:
        """Add up the gradients of the batch's pieces; the mean loss and the share of the classes in it, (2,)."""
        pieces, device = self.options.accumulate, self.flow.var.device
        losses = []
        for index, piece in enumerate(zip(*(_chunks(each, pieces) for each in batch), strict=True)):
            with self._apart(is_last=index == pieces - 1):
                with torch.autocast(device.type, torch.bfloat16, enabled=self.options.precision == "bf16"):
                    loss = self.objective(*piece) / pieces
                loss[0].backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum(dim=0)

    def _apart(self, is_last: bool) -> AbstractContextManager[None]:
        """Where the processes' gradients are put together with the last piece's alone."""
        if isinstance(self.objective, DistributedDataParallel) and not is_last:
            return self.objective.no_sync()
        if self.group.world > 1 and self.options.shard:
            self.objective.set_requires_gradient_sync(is_last)  # type: ignore[operator]
        return nullcontext()

    def state(self) -> dict[str, Any]:
        """What `restore` needs, whole; every process must ask, the leading one gets it."""
        keep = self.group.leads
        return {
            "flow": whole(dict(self.flow.named_parameters()), keep),
            "average": self.average.state(keep),
            "optimizer": whole_optimizer(self.optimizer, keep),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave, on as many processes as there are now."""
        take_whole(dict(self.flow.named_parameters()), state["flow"])
        self.average.restore(state["average"])
        restore_optimizer(self.optimizer, state["optimizer"])

    def start_from(self, weights: State) -> None:
        """Take whole weights by name for the flow and its average."""
        take_whole(dict(self.flow.named_parameters()), weights)
        self.average.restore(weights)


def _chunks(tensor: Tensor | None, pieces: int) -> Sequence[Tensor | None]:
    return [None] * pieces if tensor is None else tensor.tensor_split(pieces)


def initial_weights(init: str, config: TarFlowConfig) -> State:
    """The weights of the checkpoint that `--init` names, for a flow of `config`.

    Raises:
        CheckpointError: There is no such checkpoint.
        ValueError: It is of another architecture; its noise may be another.
    """
    start = load(init)
    if replace(start.config, noise_std=config.noise_std, noise_type=config.noise_type) != config:
        raise ValueError(f"--init {init} is {start.config}, the options say {config}")
    return dict(start.named_parameters())
