"""Requests to pictures and scores: the rows of a batch on one model and one device.

Owns seeds, rows and what happens to a picture that is not finite. Knows nothing of queues,
Redis or image files.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import Sampler, TarFlow, load
from model.card import Card
from model.checkpoint import load_card
from model.device import find_device
from model.pixels import bits_per_dim, to_images, to_pixels
from worker.contract import (
    NO_CLASS,
    ClassScore,
    GenerateRequest,
    ImageScore,
    ModelDefaults,
    ModelFacts,
    ScoreRequest,
    ScoreResult,
)
from worker.errors import JobCancelled, JobError, ModelChanged, NonFiniteSample
from worker.halving import in_halves
from worker.painter import BetweenBlocks, PaintedRows, Painter, Passage

SCORE_CHUNK = 64


@dataclass(frozen=True)
class Pictures:
    """uint8 pixels (n, C, H, W) of one request, and which of them took the corrected guidance rule."""

    pixels: Tensor
    stabilised: tuple[int, ...]


@dataclass(frozen=True)
class Engine:
    """One model on one device; `sampler` is what it samples with, None = made anew for each batch."""

    name: str
    flow: TarFlow
    card: Card
    digest: str
    device: torch.device
    sampler: Sampler | None = None

    @classmethod
    def start(cls, name: str, checkpoint: str, device: str) -> Self:
        """Load a checkpoint; `device` is `auto`, `cpu`, `cuda` or `cuda:N`.

        Raises:
            CheckpointError: It cannot be loaded.
            ValueError: There is no such device.
        """
        found = find_device(device)
        card = load_card(checkpoint)
        return cls(name, load(checkpoint, found), card, card.digest, found)

    def warmed_up(self, threads: int) -> Self:
        """With a sampler that is compiled and calibrated and shares a batch among `threads` of a CPU."""
        return replace(self, sampler=Sampler.prepare(self.flow, threads).calibrated())

    def facts(self) -> ModelFacts:
        """What the service needs to know of the model."""
        config, card = self.flow.config, self.card
        return ModelFacts(
            name=self.name,
            digest=self.digest,
            image_size=config.image_size,
            in_channels=config.in_channels,
            dims=config.dims,
            class_names=card.class_names,
            num_classes=config.num_classes,
            noise_std=config.noise_std,
            noise_type=config.noise_type,
            density=config.density,
            architecture=f"[{config.patch_size}-{config.channels}-{config.blocks}-{config.layers_per_block}]",
            defaults=ModelDefaults(
                guidance=card.sampling.guidance,
                denoise=card.sampling.denoise,
                attention_temperature=card.sampling.attention_temperature,
            ),
            trained_on=card.trained_on,
            data_licence=card.data_licence,
            metrics=card.metrics,
            measured_by=card.measured_by,
            command=card.command,
            hardware=card.hardware,
            training_hours=card.hours,
            intended_use=card.intended_use,
            limits=card.limits,
            notes=card.notes,
        )

    def check_digest(self, digest: str) -> None:
        """Raise ModelChanged unless these are the weights a request was filled in for."""
        if digest != self.digest:
            raise ModelChanged(f"the request is for weights {digest}, loaded are {self.digest}")

    def generate(
        self, requests: Sequence[GenerateRequest], between_blocks: BetweenBlocks | None = None
    ) -> list[Pictures | JobError]:
        """Pictures for each request, all in one batch; a request's failure is its own.

        Args:
            requests: What is wanted.
            between_blocks: Called after each flow block; requests whose indices it returns leave the batch.

        Raises:
            ModelChanged: A request was filled in for other weights.
        """
        for request in requests:
            self.check_digest(request.model_digest)
        rows, painter = self._rows(requests), self._painter()
        dropped: set[int] = set()

        def watch(passage: Passage) -> frozenset[int]:
            dropped.update(between_blocks(passage) if between_blocks else ())
            return frozenset(dropped)

        images = painter.paint(rows, "linear", watch if between_blocks else None)
        stabilised = ~_finite(images) & torch.tensor([int(each) not in dropped for each in rows.owner])
        broken = torch.nonzero(stabilised).flatten().to(self.device)
        if len(broken):
            images[broken] = painter.paint(rows.select(broken), "corrected")
        pixels, finite, owner = to_pixels(images, self.flow.config).cpu(), _finite(images), rows.owner.cpu()
        return [
            JobCancelled("asked to stop while it ran")
            if index in dropped
            else _picture(request, *(each[owner == index] for each in (pixels, finite, stabilised)))
            for index, request in enumerate(requests)
        ]

    def _painter(self) -> Painter:
        return Painter(self.flow, self.sampler or Sampler.prepare(self.flow), self.card.sampling.annealed)

    def score_all(self, work: Sequence[tuple[ScoreRequest, Tensor]]) -> list[ScoreResult]:
        """Scores of each request's uint8 pixels (N, C, H, W); those under one class of each share a batch."""
        together = [index for index, (request, _) in enumerate(work) if request.class_index != "all"]
        results = {index: self.score(*each) for index, each in enumerate(work) if index not in together}
        labels = [int(work[index][0].class_index) for index in together for _ in work[index][1]]
        if together:
            scores = iter(self._scores(torch.cat([work[index][1] for index in together]), torch.tensor(labels)))
            for index in together:
                results[index] = ScoreResult(scores=tuple(itertools.islice(scores, len(work[index][1]))))
        return [results[index] for index in range(len(work))]

    def score(self, request: ScoreRequest, pixels: Tensor) -> ScoreResult:
        """Scores of uint8 pixels (N, C, H, W), in order.

        Raises:
            ModelChanged: The request was filled in for other weights.
        """
        self.check_digest(request.model_digest)
        every = request.class_index == "all"
        label = NO_CLASS if request.class_index == "all" else request.class_index
        return ScoreResult(scores=tuple(self._scores(pixels, torch.full((len(pixels),), label), every)))

    def _scores(self, pixels: Tensor, labels: Tensor, every_class: bool = False) -> list[ImageScore]:
        """The score of each image (N, C, H, W) under its label (N,), and under every class too if wanted."""

        def score(chunk: Tensor) -> list[ImageScore]:
            images = to_images(pixels[chunk].to(self.device), self.flow.config)
            parts = zip(*self._likelihood(images, labels[chunk]), strict=True)
            by_class = self._by_class(images) if every_class else [[]] * len(images)
            return [self._image_score(*part, by_class=each) for part, each in zip(parts, by_class, strict=True)]

        chunks = torch.arange(len(pixels)).split(SCORE_CHUNK)
        return [each for chunk in chunks for part in in_halves(score, chunk) for each in part]

    @torch.no_grad()
    def _likelihood(self, images: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
        """log-prior and log|det| of each image under its label (N,), in nats."""
        latents, log_abs_det = self.flow(images, labels.to(self.device) if self.flow.config.num_classes else None)
        return self.flow.log_prior(latents).tolist(), log_abs_det.tolist()

    def _by_class(self, images: Tensor) -> list[list[float]]:
        """log p(x | class) for every class, image by image."""
        classes = [
            self._likelihood(images, torch.full((len(images),), label)) for label in range(self.flow.config.num_classes)
        ]
        columns = [[prior + det for prior, det in zip(*parts, strict=True)] for parts in classes]
        return [list(row) for row in zip(*columns, strict=True)]

    def _image_score(self, log_prior: float, log_abs_det: float, by_class: list[float]) -> ImageScore:
        total = log_prior + log_abs_det
        values = torch.tensor(by_class, dtype=torch.float64)
        evidence = float(values.logsumexp(dim=0)) if by_class else 0.0
        return ImageScore(
            log_likelihood_nats=total,
            bits_per_dim=bits_per_dim(torch.tensor(total, dtype=torch.float64), self.flow.config.dims).item(),
            log_prior_nats=log_prior,
            log_abs_det_nats=log_abs_det,
            marginal_log_likelihood_nats=evidence - math.log(len(by_class)) if by_class else None,
            classes=tuple(
                ClassScore(class_index=index, log_likelihood_nats=value, posterior=math.exp(value - evidence))
                for index, value in enumerate(by_class)
            ),
        )

    def _rows(self, requests: Sequence[GenerateRequest]) -> PaintedRows:
        shape = (self.flow.config.patches, self.flow.config.patch_dims)
        each = [(index, request, seed) for index, request in enumerate(requests) for seed in request.seeds]
        noise = torch.from_numpy(np.stack([_noise(seed, shape) for _, _, seed in each]))
        device = self.device
        return PaintedRows(
            noise=noise.to(device),
            labels=torch.tensor([request.class_index for _, request, _ in each], device=device),
            guidance=torch.tensor([request.guidance for _, request, _ in each], device=device),
            temperature=torch.tensor([request.attention_temperature for _, request, _ in each], device=device),
            denoise=torch.tensor([request.denoise for _, request, _ in each], device=device),
            owner=torch.tensor([index for index, _, _ in each], device=device),
        )


def _noise(seed: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The standard normal latents of one image.

    Not torch's generator: it heeds 32 bits of a seed, and its stream depends on the device.
    """
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape, dtype=np.float32)


def _finite(images: Tensor) -> Tensor:
    """Which rows of (N, ...) are finite throughout, on the CPU."""
    return images.flatten(1).isfinite().all(dim=1).cpu()


def _picture(request: GenerateRequest, pixels: Tensor, finite: Tensor, stabilised: Tensor) -> Pictures | JobError:
    """What came of one request: its rows' pixels, and which of them are finite and which took the other rule."""
    if not bool(finite.all()):
        return NonFiniteSample(f"guidance {request.guidance:g}")
    return Pictures(pixels, tuple(torch.nonzero(stabilised).flatten().tolist()))
