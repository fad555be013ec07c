"""Images to their likelihoods and to how unusual they are.

Owns the passes a batch of scoring requests takes and what is made of them. Knows nothing of queues or
image files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

from model import TarFlow
from model.anatomy import dissect
from model.calibration import Calibration, Reference, View
from model.class_likelihoods import pair_log_probs
from model.features import class_features, image_features
from model.pixels import bits_per_dim, to_images
from pictures.complexity import complexity_bits_per_dim
from pictures.fitting import Shape
from worker.class_scores import class_scores, known, marginal
from worker.contract import NO_CLASS, ImageScore, ScoreRequest, ScoreResult, Verdict
from worker.errors import JobCancelled, ModelChanged
from worker.halving import in_halves
from worker.passes import BetweenChunks, Passes
from worker.verdicts import verdicts

Made = TypeVar("Made")


@dataclass(frozen=True)
class Findings:
    """What one forward pass found of N images, on the CPU.

    Attributes:
        log_prior: (N,) in nats.
        log_abs_det: (N,) in nats.
        patches: What each patch adds to the log-likelihood, (N, T), in nats.
        features: (N, F), see `model.features`; of no account where nobody judges.
        complexity: (N,) in bits per dim.
    """

    log_prior: Tensor
    log_abs_det: Tensor
    patches: Tensor
    features: Tensor
    complexity: Tensor

    @property
    def log_prob(self) -> Tensor:
        """Log-likelihood (N,), in nats."""
        return self.log_prior + self.log_abs_det

    def __getitem__(self, index: Tensor) -> "Findings":
        return Findings(*(getattr(self, each.name)[index] for each in fields(self)))


@dataclass(frozen=True)
class Examiner:
    """One flow on one device, and what is usual for it."""

    flow: TarFlow
    device: torch.device
    calibrations: Sequence[Calibration] = ()

    def examine(
        self, work: Sequence[tuple[ScoreRequest, Tensor]], between: BetweenChunks | None = None
    ) -> list[ScoreResult | JobCancelled]:
        """Scores of each request's uint8 pixels (N, C, H, W), all in one batch.

        Args:
            work: The requests and their pixels.
            between: Called after each chunk of passes but the last; requests whose indices it returns are dropped.

        Raises:
            ModelChanged: A request is for a calibration that is not here.
        """
        judges = [self.judge(request) for request, _ in work]
        passes = Passes([request.passes for request, _ in work], between)
        findings = self._findings(work, passes, judged=any(judges))
        by_class = self._by_class(work, passes)
        return [
            JobCancelled("asked to stop while it ran")
            if index in passes.left
            else ScoreResult(
                scores=tuple(self._scores(request, findings[index], by_class.get(index), judge)),
                view=judge[0] if judge else None,
            )
            for index, ((request, _), judge) in enumerate(zip(work, judges, strict=True))
        ]

    def judge(self, request: ScoreRequest) -> tuple[View, Reference] | None:
        """What is usual, in the view that the request allows; None where it names no calibration.

        Raises:
            ModelChanged: It is for a calibration that is not here.
        """
        if request.calibration is None:
            return None
        for calibration in self.calibrations:
            if calibration.digest == request.calibration.digest:
                view = View.ALL if request.class_index == "all" else View.GIVEN
                # Images scored under every class have been scored under none, too.
                if request.class_index == NO_CLASS or view not in calibration.references:
                    view = View.NONE
                return view, calibration.references[view]
        raise ModelChanged(f"the request is for calibration {request.calibration}, which is not loaded")

    @torch.no_grad()
    def _findings(
        self, work: Sequence[tuple[ScoreRequest, Tensor]], passes: Passes, judged: bool
    ) -> Mapping[int, Findings]:
        """What a pass over each request's pixels finds, by its index; without features where nobody judges."""
        if not work:
            return {}
        config, owner = self.flow.config, _owners([len(pixels) for _, pixels in work])
        pixels = torch.cat([each for _, each in work])
        labels = torch.tensor([_label(request) for request, _ in work])[owner]
        shape = Shape(config.image_size, config.in_channels)

        def find(chunk: Tensor) -> Findings:
            images = to_images(pixels[chunk].to(self.device), config)
            anatomy = dissect(self.flow, images, labels[chunk].to(self.device) if config.num_classes else None)
            complexity = torch.tensor(
                [complexity_bits_per_dim(each.numpy().tobytes(), shape) for each in pixels[chunk]], dtype=torch.float64
            )
            log_prior = anatomy.log_prior.sum(dim=1)
            features = image_features(anatomy, complexity) if judged else complexity[:, None]
            parts = (log_prior, anatomy.log_abs_det, anatomy.patch_log_prob, features, complexity)
            return Findings(*(each.double().cpu() for each in parts))

        found, owner = _made(find, owner, passes)
        every = Findings(*(torch.cat([getattr(each, part.name) for each in found]) for part in fields(Findings)))
        return {index: every[owner == index] for index in _staying(work, passes)}

    @torch.no_grad()
    def _by_class(self, work: Sequence[tuple[ScoreRequest, Tensor]], passes: Passes) -> Mapping[int, Tensor]:
        """log p(x | class) (N, K), in nats, on the CPU, of each request that wants every class, by its index."""
        wanted = [index for index in _staying(work, passes) if work[index][0].class_index == "all"]
        if not wanted:
            return {}
        images = to_images(torch.cat([work[index][1] for index in wanted]).to(self.device), self.flow.config)
        pairs = [len(work[index][1]) * self.flow.config.num_classes for index in wanted]

        def find(chunk: Tensor) -> Tensor:
            return pair_log_probs(self.flow, images, chunk.to(self.device)).double().cpu()

        found, owner = _made(find, torch.tensor(wanted)[_owners(pairs)], passes)
        every = torch.cat(found)
        return {
            index: every[owner == index].view(len(work[index][1]), -1) for index in wanted if index not in passes.left
        }

    def _scores(
        self, request: ScoreRequest, found: Findings, by_class: Tensor | None, judge: tuple[View, Reference] | None
    ) -> Iterator[ImageScore]:
        judged: Sequence[Verdict | None] = [None] * len(found.log_prior)
        if judge is not None:
            view, reference = judge
            features = found.features
            if view is View.ALL and by_class is not None:
                features = torch.cat([features, class_features(by_class, found.log_prob)], dim=1)
            judged = verdicts(request.alpha, features, found.log_prob, reference)
        bits = bits_per_dim(found.log_prob, self.flow.config.dims)
        with_patches = request.patches or request.heat_map
        surprises = judge[1].surprises(found.patches) if judge and with_patches else None
        for index, verdict in enumerate(judged):
            yield ImageScore(
                log_likelihood_nats=known(found.log_prob[index]),
                bits_per_dim=known(bits[index]),
                log_prior_nats=known(found.log_prior[index]),
                log_abs_det_nats=known(found.log_abs_det[index]),
                complexity_bits_per_dim=float(found.complexity[index]),
                verdict=verdict,
                patch_log_likelihood_nats=tuple(map(known, found.patches[index])) if with_patches else (),
                patch_surprise_stds=None if surprises is None else tuple(map(known, surprises[index])),
                marginal_log_likelihood_nats=None if by_class is None else marginal(by_class[index], request.prior),
                classes=() if by_class is None else class_scores(by_class[index], request.prior),
            )


def _made(find: Callable[[Tensor], Made], owner: Tensor, passes: Passes) -> tuple[list[Made], Tensor]:
    """What `find` makes of rows, in order, and whose they are, (M,): of those of `owner` (P,), M are made."""
    found, owners = [], []
    for chunk in passes.chunks(owner):
        found += in_halves(find, chunk)
        owners.append(owner[chunk])
    return found, torch.cat(owners)


def _owners(counts: Sequence[int]) -> Tensor:
    """The index of who has each of so many rows."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def _staying(work: Sequence[object], passes: Passes) -> list[int]:
    return [index for index in range(len(work)) if index not in passes.left]


def _label(request: ScoreRequest) -> int:
    return NO_CLASS if request.class_index == "all" else request.class_index
