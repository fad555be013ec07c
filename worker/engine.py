"""Requests to pictures and scores: the rows of a batch on one model and one device.

Owns seeds, rows and what happens to a picture that is not finite. Knows nothing of queues,
Redis or image files.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from model import Sampler, TarFlow, load
from model.calibration import Calibration, Reference
from model.card import Card
from model.checkpoint import load_card
from model.device import find_device
from model.pixels import to_pixels
from worker.calibrations import calibration_facts, find_calibrations
from worker.contract import GenerateRequest, ModelDefaults, ModelFacts, Request, ScoreRequest, ScoreResult
from worker.errors import JobCancelled, JobError, ModelChanged, NonFiniteSample, Overflow
from worker.examiner import Examiner
from worker.painter import BetweenBlocks, PaintedRows, Painter, Passage
from worker.painting import Painting
from worker.passes import BetweenChunks, Share


@dataclass(frozen=True)
class Pictures:
    """uint8 pixels (n, C, H, W) of one request, and which of them took the corrected guidance rule.

    The same as images, unclipped, for whoever measures them.
    """

    pixels: Tensor
    stabilised: tuple[int, ...]
    images: Tensor


@dataclass(frozen=True)
class Engine:
    """One model on one device; `sampler` is what it samples with, None = made anew for each batch."""

    name: str
    flow: TarFlow
    card: Card
    digest: str
    device: torch.device
    sampler: Sampler | None = None
    calibrations: tuple[Calibration, ...] = ()
    calibrations_left_out: tuple[str, ...] = ()

    @classmethod
    def start(cls, name: str, checkpoint: str, device: str, judges: bool = True) -> Self:
        """Load a checkpoint; `device` is `auto`, `cpu`, `cuda` or `cuda:N`. With its calibrations, if it `judges`.

        Raises:
            CheckpointError: It cannot be loaded, or is a published file, which does not say its noise.
            ValueError: There is no such device.
        """
        found = find_device(device)
        card = load_card(checkpoint)
        flow = load(checkpoint, found)
        served, left_out = find_calibrations(checkpoint, card.digest, flow.config) if judges else ((), ())
        return cls(name, flow, card, card.digest, found, calibrations=served, calibrations_left_out=left_out)

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
            calibrations=tuple(calibration_facts(each) for each in self.calibrations),
            calibrations_left_out=self.calibrations_left_out,
            patch_grid=(config.image_size // config.patch_size,) * 2,
            measured_by=card.measured_by,
            command=card.command,
            hardware=card.hardware,
            training_hours=card.hours,
            intended_use=card.intended_use,
            limits=card.limits,
            notes=card.notes,
        )

    def check(self, request: Request) -> None:
        """Raise ModelChanged unless these are the weights, and the calibration, that a request was filled in for."""
        if request.model_digest != self.digest:
            raise ModelChanged(f"the request is for weights {request.model_digest}, loaded are {self.digest}")
        if isinstance(request, ScoreRequest):
            self.judge(request)

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
            self.check(request)
        shape = (self.flow.config.patches, self.flow.config.patch_dims)
        return self.paint([Painting.seeded(request, shape) for request in requests], between_blocks)

    def paint(
        self, paintings: Sequence[Painting | JobError], between_blocks: BetweenBlocks | None = None
    ) -> list[Pictures | JobError]:
        """Pictures of each painting, all in one batch; arguments as in `generate`.

        A painting that could not be had stays the error it is. A picture that is not finite is an `Overflow` of the
        guidance where that is at fault, and else a `NonFiniteSample`.
        """
        if not any(isinstance(each, Painting) for each in paintings):
            return [each for each in paintings if isinstance(each, JobError)]
        rows, painter = self._rows(paintings), self._painter()
        dropped: set[int] = set()

        def watch(passage: Passage) -> frozenset[int]:
            dropped.update(between_blocks(passage) if between_blocks else ())
            return frozenset(dropped)

        images = painter.paint(rows, "linear", watch if between_blocks else None)
        there = torch.tensor([int(each) not in dropped for each in rows.owner])
        stabilised = self._stabilise(painter, rows, images, there)
        images, finite, owner = images.cpu(), _finite(images), rows.owner.cpu()
        tame = self._tame(painter, rows, ~finite & stabilised)
        sound = self._tame(painter, rows.noiseless(), ~finite & ~tame & there)
        pixels = to_pixels(images, self.flow.config)

        def picture(index: int, painting: Painting | JobError) -> Pictures | JobError:
            if index in dropped:
                return JobCancelled("asked to stop while it ran")
            if isinstance(painting, JobError):
                return painting
            own = owner == index
            if not bool(finite[own].all()):
                return _broken(painting, finite[own], tame[own], sound[own])
            return Pictures(pixels[own], tuple(torch.nonzero(stabilised[own]).flatten().tolist()), images[own])

        return [picture(*each) for each in enumerate(paintings)]

    def _stabilise(self, painter: Painter, rows: PaintedRows, images: Tensor, there: Tensor) -> Tensor:
        """Make those rows again by the corrected rule that are `there`, guided and not finite; which they are, (N,)."""
        # Without guidance both rules are one: what broke stays broken.
        broken = ~_finite(images) & there & (rows.guidance > 0).cpu()
        index = torch.nonzero(broken).flatten().to(self.device)
        if len(index):
            images[index] = painter.paint(rows.select(index), "corrected")
        return broken

    def _tame(self, painter: Painter, rows: PaintedRows, wild: Tensor) -> Tensor:
        """Which of the rows (N,) that are `wild` are finite without guidance."""
        index = torch.nonzero(wild).flatten()
        tame = torch.zeros_like(wild)
        if len(index):
            tame[index] = _finite(painter.paint(rows.select(index.to(self.device)).unguided(), "linear"))
        return tame

    def _painter(self) -> Painter:
        return Painter(self.flow, self.sampler or Sampler.prepare(self.flow), self.card.sampling.annealed)

    def score_all(
        self, work: Sequence[tuple[ScoreRequest, Tensor]], between: BetweenChunks | None = None
    ) -> list[ScoreResult | JobCancelled]:
        """Scores of each request's uint8 pixels (N, C, H, W), all in one batch.

        Args:
            work: The requests and their pixels; requests that `check` lets pass.
            between: Called after each chunk of passes but the last; requests whose indices it returns are dropped.
        """
        return self._examiner().examine(work, between)

    def score(
        self, request: ScoreRequest, pixels: Tensor, reached: Callable[[int, int], None] | None = None
    ) -> ScoreResult:
        """Scores of one request; as `score_all`. `reached` is told, between chunks, how many passes are done of all.

        Raises:
            ModelChanged: The request was filled in for other weights, or for another calibration.
        """
        self.check(request)

        def tell(shares: Sequence[Share | None]) -> frozenset[int]:
            for share in shares:
                if share is not None and reached is not None:
                    reached(share.done, share.steps)
            return frozenset()

        (result,) = self.score_all([(request, pixels)], tell)
        if isinstance(result, JobCancelled):
            raise result
        return result

    def judge(self, request: ScoreRequest) -> Reference | None:
        """What is usual for images of a request; None where it names no calibration.

        Raises:
            ModelChanged: The request was filled in for another calibration.
        """
        found = self._examiner().judge(request)
        return found and found[1]

    def _examiner(self) -> Examiner:
        return Examiner(self.flow, self.device, self.calibrations)

    def _rows(self, paintings: Sequence[Painting | JobError]) -> PaintedRows:
        there = [(index, painting) for index, painting in enumerate(paintings) if isinstance(painting, Painting)]
        each = [(index, painting) for index, painting in there for _ in painting.noise]
        device = self.device
        return PaintedRows(
            noise=torch.cat([painting.noise for _, painting in there]).to(device),
            labels=torch.tensor([painting.class_index for _, painting in each], device=device),
            guidance=torch.tensor([painting.guidance for _, painting in each], device=device),
            temperature=torch.tensor([painting.attention_temperature for _, painting in each], device=device),
            denoise=torch.tensor([painting.denoise for _, painting in each], device=device),
            owner=torch.tensor([index for index, _ in each], device=device),
        )


def _finite(images: Tensor) -> Tensor:
    """Which rows of (N, ...) are finite throughout, on the CPU."""
    return images.flatten(1).isfinite().all(dim=1).cpu()


def _broken(painting: Painting, finite: Tensor, tame: Tensor, sound: Tensor) -> JobError:
    """What is wrong with a painting some of whose rows are not finite.

    Args:
        painting: It.
        finite: Which rows (n,) are.
        tame: Which of the others would be without guidance.
        sound: Which of those that would not would be without noise.
    """
    rows = torch.nonzero(~finite).flatten()
    words = f"{len(rows)} of {len(finite)} pictures are not finite at guidance {painting.guidance:g}"
    if bool(tame[rows].all()):
        return Overflow("guidance", f"{words}, and at 0 all are", tuple(rows.tolist()))
    hopeless = rows[~tame[rows]]
    return NonFiniteSample(words, tuple(hopeless.tolist()), is_noise_s=bool(sound[hopeless].all()))
