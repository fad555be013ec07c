"""Which way each block of a flow is inverted fastest, by the size of the batch.

Owns the plan and the calibration that makes it. Knows nothing of how a block is inverted.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from model.flow import TarFlow
from model.guidance import Guidance
from model.memory import is_out_of_memory
from model.rows import Rows
from model.stepwise import Inverter

CALIBRATED_REQUESTS = (1, 2, 4, 8, 16, 32)
CALIBRATION_GUIDANCE = 2.0
RUNS = 3


@dataclass(frozen=True)
class Plan:
    """For batches of up to so many network rows, in rising order: the blocks that rounds invert faster.

    A batch beyond the largest is inverted serially throughout: the more rows, the less rounds pay.
    """

    rounds: tuple[tuple[int, frozenset[int]], ...] = ()

    def pays(self, block: int, rows: int) -> bool:
        """Whether rounds are the faster way through the block at this index for `rows` network rows."""
        return next((block in blocks for most, blocks in self.rounds if rows <= most), False)


def calibrate(flow: TarFlow, serial: Inverter, rounds: Inverter, requests: Sequence[int] = CALIBRATED_REQUESTS) -> Plan:
    """Time both ways through each block, from small batches up, until rounds pay nowhere.

    The batches are what is asked for most: a class and guidance, where the flow has classes.
    """
    found: list[tuple[int, frozenset[int]]] = []
    for count in requests:
        noise, rows = _batch(flow, count)
        try:
            blocks = _where_rounds_pay(flow, noise, rows, serial, rounds)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            break  # Such a batch will be halved when it comes.
        if not blocks:
            break
        found.append((len(rows), blocks))
    return Plan(tuple(found))


def _batch(flow: TarFlow, count: int) -> tuple[Tensor, Rows]:
    config, device = flow.config, flow.var.device
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(count, config.patches, config.patch_dims, generator=generator).to(device, flow.var.dtype)
    labels = (torch.arange(count, device=device) % config.num_classes) if config.num_classes else None
    weight = torch.full_like(noise[:, 0, 0], CALIBRATION_GUIDANCE)
    return noise, Rows.arrange(labels, Guidance(weight), torch.ones_like(weight))


@torch.no_grad()
def _where_rounds_pay(flow: TarFlow, noise: Tensor, rows: Rows, serial: Inverter, rounds: Inverter) -> frozenset[int]:
    paying, patches = set(), noise * flow.var.sqrt()
    for index in reversed(range(flow.config.blocks)):
        block = flow.blocks[index]
        latents = block.orient(patches)
        # The first run of each warms up; that of the serial way carries on.
        patches = block.orient(serial.invert(index, latents, rows))
        rounds.invert(index, latents, rows)
        serial_s, rounds_s = (_median_s(partial(way.invert, index, latents, rows)) for way in (serial, rounds))
        if rounds_s < serial_s:
            paying.add(index)
    return frozenset(paying)


def _median_s(run: Callable[[], Tensor]) -> float:
    times = []
    for _ in range(RUNS):
        started_s = time.perf_counter()
        run()[0, 0, 0].item()  # Waits for the device.
        times.append(time.perf_counter() - started_s)
    return statistics.median(times)
