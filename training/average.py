"""The moving average of a flow's weights: what the checkpoint holds.

Owns the decay and its warm-up, and the averaged weights on the device that trains. Knows
nothing of gradients or files.
"""

import torch
from torch import Tensor

from model import TarFlow
from training.sharding import State, local, take_whole, whole


def decay_at(step: int, decay: float) -> float:
    """The decay of step 0, 1, ...: a short run forgets its beginning, a long one averages at `decay`.

    At most (1 + step) / (10 + step), so that the average spans the last tenth of the steps until then.
    """
    return min(decay, (1 + step) / (10 + step))


class Average:
    """Averaged weights of one flow; of a sharded flow, each process holds those of its shards."""

    def __init__(self, flow: TarFlow, decay: float) -> None:
        self.flow, self.decay = flow, decay
        self._weights = {name: weight.detach().clone() for name, weight in flow.named_parameters()}

    @torch.no_grad()
    def update(self, step: int, taken: Tensor) -> None:
        """Move towards the flow's weights of now; not at all where the scalar `taken` is 0. No host waits."""
        ours = [local(weight) for weight in self._weights.values()]
        towards = torch._foreach_sub([local(weight.detach()) for weight in self.flow.parameters()], ours)
        torch._foreach_mul_(towards, taken * (1 - decay_at(step, self.decay)))
        torch._foreach_add_(ours, towards)

    def state(self, keep: bool = True) -> State:
        """The whole averaged weights by name; every process of a sharded flow must ask, those with `keep` get them."""
        return whole(self._weights, keep)

    def restore(self, state: State) -> None:
        """Take what `state` gave."""
        take_whole(self._weights, state)

    def averaged(self, state: State) -> TarFlow:
        """A flow that holds the weights of `state`, on the flow's device."""
        with torch.device("meta"):
            flow = TarFlow(self.flow.config)
        device = self.flow.var.device
        weights = {name: weight.to(device) for name, weight in state.items()}
        flow.load_state_dict(weights | {"var": self.flow.var}, assign=True)
        return flow.eval()
