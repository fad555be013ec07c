"""Images to their likelihoods and to how unusual they are.

Owns the passes a batch of scoring requests takes and what is made of them. Knows nothing of queues or
image files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

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
from worker.errors import ModelChanged
from worker.halving import in_halves
from worker.verdicts import verdicts

SCORE_CHUNK = 64


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

    def __getitem__(self, index: slice) -> "Findings":
        return Findings(*(getattr(self, each.name)[index] for each in fields(self)))


@dataclass(frozen=True)
class Examiner:
    """One flow on one device, and what is usual for it."""

    flow: TarFlow
    device: torch.device
    calibrations: Sequence[Calibration] = ()

    def examine(self, work: Sequence[tuple[ScoreRequest, Tensor]]) -> list[ScoreResult]:
        """Scores of each request's uint8 pixels (N, C, H, W), all in one batch.

        Raises:
            ModelChanged: A request is for a calibration that is not here.
        """
        if not work:
            return []
        judges = [self.judge(request) for request, _ in work]
        labels = [torch.full((len(pixels),), _label(request)) for request, pixels in work]
        every = torch.cat([pixels for _, pixels in work])
        findings = self._findings(every, torch.cat(labels), judged=any(judges))
        results, first = [], 0
        for (request, pixels), judge in zip(work, judges, strict=True):
            own = findings[first : first + len(pixels)]
            first += len(pixels)
            by_class = self._by_class(pixels) if request.class_index == "all" else None
            scores = tuple(self._scores(request, own, by_class, judge))
            results.append(ScoreResult(scores=scores, view=judge[0] if judge else None))
        return results

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
    def _findings(self, pixels: Tensor, labels: Tensor, judged: bool) -> Findings:
        """What a pass over pixels (N, C, H, W) under labels (N,) finds; without features where nobody judges."""
        config = self.flow.config
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

        chunks = torch.arange(len(pixels)).split(SCORE_CHUNK)
        found = [part for chunk in chunks for part in in_halves(find, chunk)]
        return Findings(*(torch.cat([getattr(each, field.name) for each in found]) for field in fields(Findings)))

    @torch.no_grad()
    def _by_class(self, pixels: Tensor) -> Tensor:
        """log p(x | class) (N, K), in nats, on the CPU."""

        images = to_images(pixels.to(self.device), self.flow.config)

        def find(pairs: Tensor) -> Tensor:
            return pair_log_probs(self.flow, images, pairs.to(self.device)).double().cpu()

        chunks = torch.arange(len(pixels) * self.flow.config.num_classes).split(SCORE_CHUNK)
        return torch.cat([part for chunk in chunks for part in in_halves(find, chunk)]).view(len(pixels), -1)

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


def _label(request: ScoreRequest) -> int:
    return NO_CLASS if request.class_index == "all" else request.class_index
