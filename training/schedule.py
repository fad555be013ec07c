"""The learning rate over a run: linear warm-up, then a cosine down to the final rate.

Knows nothing of optimisers.
"""

import math


def learning_rate(step: int, total_steps: int, warmup_steps: int, peak: float, final: float) -> float:
    """The rate of step 0..total_steps - 1; the warm-up ends at `peak`, the last step is near `final`."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * done))
