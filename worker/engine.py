"""Requests to pictures and scores: the rows of a batch on one model and one device.

Owns seeds, rows and what happens to a picture that is not finite. Knows nothing of queues,
Redis or image files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import Sampler, TarFlow, denoise, load, sample
from model.card import Card
from model.checkpoint import load_card
from model.device import find_device
from model.guidance import Rule
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
from worker.errors import ModelChanged, NonFiniteSample
from worker.halving import in_halves

# torch's matrix kernels for fewer rows round differently: with at least this many, an image is
# the same to the last bit however many share its batch (measured with AVX-512 on one thread).
FEWEST_ROWS = 16
SCORE_CHUNK = 64


@dataclass(frozen=True)
class Pictures:
    """uint8 pixels (n, C, H, W) of one request, and which of them took the corrected guidance rule."""

    pixels: Tensor
    stabilised: tuple[int, ...]


@dataclass(frozen=True)
class _Rows:
    """A batch, row by row: noise (N, T, D), labels, guidance, temperature and denoise, each (N,)."""

    noise: Tensor
    labels: Tensor
    guidance: Tensor
    temperature: Tensor
    denoise: Tensor

    def select(self, index: Tensor) -> Self:
        """The rows at `index`."""
        return type(self)(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


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
        )

    def check_digest(self, digest: str) -> None:
        """Raise ModelChanged unless these are the weights a request was filled in for."""
        if digest != self.digest:
            raise ModelChanged(f"the request is for weights {digest}, loaded are {self.digest}")

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Pictures | NonFiniteSample]:
        """Pictures for each request, all in one batch; a request's failure is its own.

        Raises:
            ModelChanged: A request was filled in for other weights.
        """
        for request in requests:
            self.check_digest(request.model_digest)
        rows = self._rows(requests)
        images = self._images(rows, "linear")
        broken = torch.nonzero(~_finite(images)).flatten()
        if len(broken):
            images[broken] = self._images(rows.select(broken), "corrected")
        pixels, finite = to_pixels(images, self.flow.config).cpu(), _finite(images)
        results: list[Pictures | NonFiniteSample] = []
        first = 0
        for request in requests:
            mine = range(first, first + request.n)
            first += request.n
            if not bool(finite[mine.start : mine.stop].all()):
                results.append(NonFiniteSample(f"guidance {request.guidance:g}"))
                continue
            stabilised = tuple(int(row) - mine.start for row in broken if int(row) in mine)
            results.append(Pictures(pixels[mine.start : mine.stop], stabilised))
        return results

    def score(self, request: ScoreRequest, pixels: Tensor) -> ScoreResult:
        """Scores of uint8 pixels (N, C, H, W), in order.

        Raises:
            ModelChanged: The request was filled in for other weights.
        """
        self.check_digest(request.model_digest)
        label = NO_CLASS if request.class_index == "all" else request.class_index

        def score(chunk: Tensor) -> list[ImageScore]:
            images = to_images(pixels[chunk].to(self.device), self.flow.config)
            parts = zip(*self._likelihood(images, label), strict=True)
            by_class = self._by_class(images) if request.class_index == "all" else [[]] * len(images)
            return [self._image_score(*part, by_class=each) for part, each in zip(parts, by_class, strict=True)]

        chunks = torch.arange(len(pixels)).split(SCORE_CHUNK)
        return ScoreResult(scores=tuple(each for chunk in chunks for part in in_halves(score, chunk) for each in part))

    @torch.no_grad()
    def _likelihood(self, images: Tensor, label: int) -> tuple[list[float], list[float]]:
        """log-prior and log|det| of each image under one label, in nats."""
        labels = torch.full((len(images),), label, device=self.device)
        latents, log_abs_det = self.flow(images, labels if self.flow.config.num_classes else None)
        return self.flow.log_prior(latents).tolist(), log_abs_det.tolist()

    def _by_class(self, images: Tensor) -> list[list[float]]:
        """log p(x | class) for every class, image by image."""
        classes = [self._likelihood(images, label) for label in range(self.flow.config.num_classes)]
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

    def _rows(self, requests: Sequence[GenerateRequest]) -> _Rows:
        shape = (self.flow.config.patches, self.flow.config.patch_dims)
        seeds = [(request, seed) for request in requests for seed in request.seeds]
        noise = torch.from_numpy(np.stack([_noise(seed, shape) for _, seed in seeds]))
        return _Rows(
            noise=noise.to(self.device),
            labels=torch.tensor([request.class_index for request, _ in seeds], device=self.device),
            guidance=torch.tensor([request.guidance for request, _ in seeds], device=self.device),
            temperature=torch.tensor([request.attention_temperature for request, _ in seeds], device=self.device),
            denoise=torch.tensor([request.denoise for request, _ in seeds], device=self.device),
        )

    def _images(self, rows: _Rows, rule: Rule) -> Tensor:
        """Images (N, C, H, W) of the rows, sampled and denoised, in as few parts as memory allows."""
        index = torch.arange(len(rows.labels), device=self.device)
        return torch.cat(in_halves(lambda part: self._images_at_once(rows.select(part), rule), index))

    def _images_at_once(self, rows: _Rows, rule: Rule) -> Tensor:
        count, sampler = len(rows.labels), self.sampler or Sampler.prepare(self.flow)
        padded = self._pad(rows, 1 if sampler.rows_are_independent else FEWEST_ROWS)
        images = sample(
            self.flow,
            padded.noise,
            padded.labels if self.flow.config.num_classes else None,
            padded.guidance,
            attention_temperature=padded.temperature,
            annealed=self.card.sampling.annealed,
            rule=rule,
            sampler=sampler,
        )
        if not bool(rows.denoise.any()):
            return images[:count]
        # Here the rows of the matrices are patches, so that fewer images are enough.
        padded = self._pad(rows, math.ceil(FEWEST_ROWS / (self.flow.config.patches - 1)))
        images = torch.cat([images[:count], images[:1].expand(len(padded.labels) - count, -1, -1, -1)])
        clean = denoise(self.flow, images, padded.labels if self.flow.config.num_classes else None)
        return torch.where(rows.denoise.view(-1, 1, 1, 1), clean[:count], images[:count])

    def _pad(self, rows: _Rows, fewest: int) -> _Rows:
        """At least `fewest` rows; those beyond the given ones repeat the last, without guidance."""
        count = len(rows.labels)
        padded = rows.select(torch.arange(max(count, fewest), device=self.device).clamp(max=count - 1))
        padded.guidance[count:] = 0  # a copy; guided, they would cost null rows too
        return padded


def _noise(seed: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """The standard normal latents of one image.

    Not torch's generator: it heeds 32 bits of a seed, and its stream depends on the device.
    """
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape, dtype=np.float32)


def _finite(images: Tensor) -> Tensor:
    """Which rows of (N, ...) are finite throughout."""
    return images.flatten(1).isfinite().all(dim=1)
