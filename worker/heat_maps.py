"""Where in an image its log-likelihood is low, as a picture.

Owns what heat is and what is said under it. Knows nothing of drawing or queues.
"""

import math
from collections.abc import Iterator

from torch import Tensor

from model.calibration import Reference
from pictures.fitting import Shape
from pictures.heat_map import Heat, heat_map
from worker.contract import ImageScore, ModelFacts, ScoreRequest

# In standard deviations: the same colours mean the same in every picture.
LIMIT = 6.0
LN_2 = math.log(2)
SEEN_USUAL = "Red: less likely than is usual at that place, blue: more, in standard deviations"
SEEN_RAW = "Red: less likely than the image's mean patch, blue: more, in bits per dim (no calibration)"


def draw_heat_map(
    pixels: Tensor, score: ImageScore, request: ScoreRequest, facts: ModelFacts, usual: Reference | None
) -> bytes:
    """A PNG of uint8 pixels (C, H, W) under the heat of their patches; `usual` None = heat without a calibration."""
    patches = Tensor([float("-inf") if each is None else each for each in score.patch_log_likelihood_nats]).double()
    if usual is None:
        # -log p per value, from its mean over the image.
        known = patches[patches.isfinite()]
        values = (known.mean() - patches) * len(patches) / facts.dims / LN_2
        limit = max(values[patches.isfinite()].abs().tolist(), default=0.0) or 1.0
    else:
        values, limit = usual.surprises(patches[None])[0], LIMIT
    lines = (*caption(score, request), SEEN_USUAL if usual else SEEN_RAW)
    heat = Heat(values.tolist(), facts.patch_grid, limit, lines)
    return heat_map(pixels.numpy().tobytes(), Shape(facts.image_size, facts.in_channels), heat)


def caption(score: ImageScore, request: ScoreRequest) -> Iterator[str]:
    """What is said of an image: its likelihood, and the verdict if there is one."""
    if score.log_likelihood_nats is None:
        yield "log p is not finite"
    else:
        yield f"log p = {score.log_likelihood_nats:.1f} nats, {score.bits_per_dim:.3f} bits/dim"
    if score.verdict is not None:
        found = "anomaly" if score.verdict.is_anomaly else "usual"
        way = f": {score.verdict.direction.replace('_', ' ')}" if score.verdict.direction else ""
        yield f"{found} at alpha {request.alpha:g}{way}; p = {score.verdict.p_value:.2g}"
