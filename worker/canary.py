"""Whether the model still does what it did when it was loaded: the flow's own law, on one fixed picture.

Owns the picture and the bounds. Knows nothing of queues or probes.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor

from model import Sampler, TarFlow, sample

SEED = 20241206
# Of [-1, 1]: a broken inverse is wrong by about 1, an exact one in float32 by 1e-5.
MOST_PIXEL_ERROR = 0.05
MOST_RELATIVE_CHANGE = 1e-4
IDLE_S = 60.0


class CanaryFailed(RuntimeError):
    """The weights, the device or the code are not what they were."""


@dataclass
class Canary:
    """A picture, and what is known of it.

    Attributes:
        flow: The flow.
        sampler: What it is inverted with; None = it only scores.
        picture: (1, C, H, W).
        log_prob_nats: What it was at the start.
        passed: Whether the last look, of those that ended, was without a finding.
        looked_s: When the last was, on the monotonic clock.
    """

    flow: TarFlow
    sampler: Sampler | None
    picture: Tensor
    log_prob_nats: float
    passed: bool = False
    looked_s: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def hatch(cls, flow: TarFlow, sampler: Sampler | None) -> Self:
        """The canary of a flow that was just loaded, looked at once.

        Raises:
            CanaryFailed: It is dead from the start.
        """
        # A picture of the flow's own: far from what it knows, an exact inverse loses its digits.
        picture = _decoded(flow, sampler, _noise(flow)) if sampler else -torch.ones_like(flow.unpatchify(_noise(flow)))
        canary = cls(flow, sampler, picture, _log_prob(flow, picture))
        canary.look()
        return canary

    def look(self) -> None:
        """Raise CanaryFailed unless decode(encode(x)) = x, and log p(x) is finite and what it was."""
        self.looked_s = self.clock()
        try:
            self._check()
        except CanaryFailed:
            self.passed = False
            raise
        self.passed, self.looked_s = True, self.clock()

    def _check(self) -> None:
        now = _log_prob(self.flow, self.picture)
        if not math.isfinite(now) or abs(now - self.log_prob_nats) > MOST_RELATIVE_CHANGE * abs(self.log_prob_nats):
            raise CanaryFailed(f"log p of the canary is {now:g} nats, was {self.log_prob_nats:g}")
        if self.sampler:
            error = self._round_trip_error(self.sampler)
            if not error <= MOST_PIXEL_ERROR:
                raise CanaryFailed(f"decode(encode(x)) is {error:g} away from x, at most {MOST_PIXEL_ERROR:g} may be")

    def look_if_idle(self, idle_since_s: float) -> None:
        """Look again, where nothing has been done since, for a while; raises as `look`."""
        if self.clock() - max(idle_since_s, self.looked_s) >= IDLE_S:
            self.look()

    @torch.no_grad()
    def _round_trip_error(self, sampler: Sampler) -> float:
        latents, _ = self.flow(self.picture, None)
        again = _decoded(self.flow, sampler, latents / self.flow.var.sqrt())
        return float((again - self.picture).abs().max())


def _noise(flow: TarFlow) -> Tensor:
    shape = (1, flow.config.patches, flow.config.patch_dims)
    drawn = np.random.Generator(np.random.Philox(SEED)).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(drawn).to(flow.var.device)


def _decoded(flow: TarFlow, sampler: Sampler, noise: Tensor) -> Tensor:
    return sample(flow, noise, None, guidance=0.0, method="sequential", sampler=sampler)


@torch.no_grad()
def _log_prob(flow: TarFlow, picture: Tensor) -> float:
    return float(flow.log_prob(picture, None))
