"""Medians of things timed side by side.

Owns the interleaving: every way runs once before any runs again, so that what slows the machine
for a while slows all of them. Knows nothing of what is timed.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def medians_ms(ways: Mapping[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """Median time of each way over `repeats` runs, after one to warm up, the device drained each time."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(repeats + 1):
        for name, way in ways.items():
            started_s = time.perf_counter()
            way()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if run:
                times[name].append((time.perf_counter() - started_s) * 1e3)
    return {name: statistics.median(each) for name, each in times.items()}
