"""How a judge is trained: its recipe and its steps, none of which makes the host wait for a GPU.

Owns the optimisers, the one cycle of the learning rate, the precision, and when the loss is read. Knows nothing of
files or of what the network is for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.augmentation import flipped, shifted
from benchmarks.networks import Architecture, build
from training.image_folder import DataError, ImageFolder
from training.progress import Progress

STEPS_BETWEEN_READINGS = 20  # to read a loss, the host waits for the GPU


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        optimizer: `adamw`, or `sgd` with Nesterov's momentum.
        epochs: Passes over the data.
        batch_size: Images of a step; the last short batch of an epoch is left out.
        learning_rate: Peak of the one cycle.
        weight_decay: The optimiser's own kind of it.
        largest_shift: By how many pixels an image is moved at most.
        label_smoothing: Share of the target that all classes divide.
        flip: Mirror half of the images.
    """

    optimizer: str
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    largest_shift: int
    label_smoothing: float
    flip: bool = False


RECIPES = {
    "small": Recipe("adamw", 4, 128, 3e-3, 1e-2, 2, 0.05),
    "residual": Recipe("sgd", 40, 512, 0.4, 5e-4, 4, 0.1),
}


class Training:
    """A network that learns: the same for a seed and a kind of device.

    On a GPU in bfloat16 by autocast, channels last, and with cuDNN's deterministic algorithms alone.
    """

    def __init__(
        self, data: ImageFolder, architecture: Architecture, recipe: Recipe, seed: int, device: torch.device
    ) -> None:
        """Make the network and lay the data on the device.

        Raises:
            DataError: The data are less than a batch.
        """
        if len(data) < recipe.batch_size:
            raise DataError(f"{len(data)} images are less than a batch: --batch-size is {recipe.batch_size}")
        torch.manual_seed(seed)
        self.recipe, self.device = recipe, device
        self.network = build(architecture, len(data.class_names)).to(device)
        if device.type == "cuda":
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # no stub says so
        self.pixels, self.labels = data.pixels.to(device), data.labels.to(device)
        self.steps_per_epoch = len(data) // recipe.batch_size
        self.steps = recipe.epochs * self.steps_per_epoch
        self.optimizer = _optimizer(self.network, recipe, device)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.learning_rate, total_steps=self.steps
        )

    def run(self) -> None:
        """Train to the end."""
        progress = Progress("training the classifier, step", self.steps)
        unread = 0
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            for step, chosen in enumerate(self._batches(), start=1):
                loss = self.learn(chosen)
                unread += 1
                if unread == STEPS_BETWEEN_READINGS or step == self.steps:
                    progress.advance(unread, note=f"loss {loss.item():.4f}")
                    unread = 0

    def learn(self, chosen: Tensor) -> Tensor:
        """Take a step on the images at the indices `chosen`; the loss, a scalar on the device."""
        images = self._augmented(self.pixels[chosen])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            logits = self.network(images)
        loss = F.cross_entropy(logits.float(), self.labels[chosen], label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def _batches(self) -> Iterator[Tensor]:
        """Indices (batch_size,) on the device, step by step."""
        for _ in range(self.recipe.epochs):
            order = torch.randperm(len(self.labels), device=self.device)
            yield from order.split(self.recipe.batch_size)[: self.steps_per_epoch]

    def _augmented(self, pixels: Tensor) -> Tensor:
        moved = shifted(pixels, self.recipe.largest_shift)
        if self.recipe.flip:
            moved = flipped(moved)
        return moved.contiguous(memory_format=torch.channels_last) if self.device.type == "cuda" else moved


def _optimizer(network: torch.nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    fused = device.type == "cuda"
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        network.parameters(),
        recipe.learning_rate,
        momentum=0.9,
        weight_decay=recipe.weight_decay,
        nesterov=True,
        fused=fused,
    )
