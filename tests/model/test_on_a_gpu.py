"""Owns the laws of the flow on a GPU: the published numbers, graphs that are the plain loop, no waiting.

Skipped where there is none; `benchmarks/on_gpu.sh` runs them first. Tolerances are those of the published numbers: a
GPU adds up in another order than the CPU that made them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from model import Sampler, TarFlow, TarFlowConfig, denoise, load, sample
from model.graphed import Graphed
from model.guidance import Guidance
from model.rows import Rows
from model.sampler import Method
from model.stepwise import Stepwise
from tests.model.test_golden import CHANNELS, GOLDEN, REPRODUCED, Golden, expected, golden, names_in

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

GREY_LEVEL = 1 / 127.5
METHODS: tuple[Method, ...] = ("sequential", "parallel", "auto")


@pytest.fixture(scope="module")
def flow() -> TarFlow:
    """The bundled flow for pictures."""
    return load("mnist-28", "cuda")


@pytest.fixture(scope="module")
def sampler(flow: TarFlow) -> Sampler:
    """It made ready, as a worker does."""
    return Sampler.prepare(flow).calibrated()


def noise_for(flow: TarFlow, rows: int) -> Tensor:
    """The same noise on every machine."""
    shape = (rows, flow.config.patches, flow.config.patch_dims)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(flow.var.device)


def mixed(flow: TarFlow, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Classes, none among them, weights, 0 among them, and temperatures."""
    place = torch.arange(rows, device=flow.var.device)
    return place % 11 - 1, place % 3 * 1.0, 1 - place % 5 * 0.1


def arranged(flow: TarFlow, rows: int) -> Rows:
    """The same as rows."""
    labels, weight, temperature = mixed(flow, rows)
    return Rows.arrange(labels, Guidance(weight), temperature)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Torch raises where the host would wait for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("network", "name"), [(network, name) for network in CHANNELS for name in names_in(network) if name in REPRODUCED]
)
def test_the_published_array_is_reproduced(network: str, name: str) -> None:
    reference = golden(network)
    noise_std = reference.arrays["noise_std"].item()
    flow = load(GOLDEN / f"{network}.pth", "cuda", in_channels=CHANNELS[network], noise_std=noise_std)
    there = Golden(flow, {key: array.cuda() for key, array in reference.arrays.items()})
    rtol = 2e-3 if name.startswith(("sample", "sequence", "denoised")) else 0.0
    atol = 1e-3 if name.startswith("log_prob") else 2e-4
    found, wanted = REPRODUCED[name](there), expected(there, name)
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=atol * (flow.config.dims if "logdet" in name else 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, 8, 33])
def test_replayed_graphs_are_the_loop_in_plain_torch(dtype: torch.dtype, rows: int) -> None:
    flow = load("mnist-28", "cuda")
    for block in flow.blocks:
        block.to(dtype)
    # The last patches of a block carry the rounding of all before them: the largest difference says little in bf16.
    graphed, median, most = Graphed(flow), *((1e-5, 5e-3) if dtype == torch.float32 else (0.03, 5.0))
    with torch.no_grad():
        for index in (3, 2):  # one of each direction
            latents = flow.blocks[index].orient(noise_for(flow, rows))
            found = graphed.invert(index, latents, arranged(flow, rows))
            wanted = Stepwise(flow).invert(index, latents, arranged(flow, rows))
            apart = (found - wanted).abs()
            assert apart.median().item() < median
            assert apart.max().item() < most


def test_more_patches_than_one_length_of_the_cache_holds() -> None:
    torch.manual_seed(0)
    flow = TarFlow(TarFlowConfig(36, 2, 64, 2, 2, in_channels=1)).cuda().requires_grad_(False)  # 324 patches: 3 graphs
    for block in flow.blocks:
        torch.nn.init.normal_(block.proj_out.weight, std=0.05)
    latents, rows = noise_for(flow, 3), Rows.plain(noise_for(flow, 3))
    found, wanted = Graphed(flow).invert(1, latents, rows), Stepwise(flow).invert(1, latents, rows)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_a_graph_replayed_is_the_same_to_the_last_bit(flow: TarFlow, sampler: Sampler) -> None:
    labels, weight, temperature = mixed(flow, 8)
    options: dict[str, Any] = {"guidance": weight, "attention_temperature": temperature, "method": "sequential"}
    first, second = (sample(flow, noise_for(flow, 8), labels, sampler=sampler, **options) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("guidance", [0.0, 2.0])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_makes_the_picture_of_the_plain_loop(
    flow: TarFlow, sampler: Sampler, method: Method, guidance: float
) -> None:
    noise, labels = noise_for(flow, 32), torch.arange(32, device="cuda") % 10
    plain = Sampler(flow, Stepwise(flow), sampler.rounds, sampler.plan)
    wanted = sample(flow, noise, labels, guidance, method="sequential", sampler=plain)
    found = sample(flow, noise, labels, guidance, method=method, sampler=sampler)
    assert (found.clamp(-1, 1) - wanted.clamp(-1, 1)).abs().max() < GREY_LEVEL / 2


def test_a_picture_is_the_same_to_a_fraction_of_a_grey_level_whoever_shares_its_batch(
    flow: TarFlow, sampler: Sampler
) -> None:
    noise, labels = noise_for(flow, 32), torch.arange(32, device="cuda") % 10
    together = sample(flow, noise, labels, sampler=sampler, method="sequential")
    for row in (0, 7, 31):
        alone = sample(flow, noise[row : row + 1], labels[row : row + 1], sampler=sampler, method="sequential")
        assert (alone[0] - together[row]).clamp(-2, 2).abs().max() < GREY_LEVEL / 2


def test_nothing_waits_for_the_gpu_inside_a_block(flow: TarFlow) -> None:
    graphed, latents, rows = Graphed(flow), noise_for(flow, 8), arranged(flow, 8)
    graphed.invert(1, latents, rows)  # captures
    with no_waiting():
        graphed.invert(1, latents, rows)


def test_nothing_waits_for_the_gpu_while_images_are_scored_on_trust(flow: TarFlow) -> None:
    images, labels = torch.zeros(8, 1, 28, 28, device="cuda"), torch.zeros(8, dtype=torch.int64, device="cuda")
    with no_waiting(), torch.no_grad():
        flow.standard_log_prob(images, labels, checked=False)


def test_a_batch_that_does_not_fit_leaves_room_for_its_halves(flow: TarFlow) -> None:
    graphed, rows = Graphed(flow), 4096
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + (256 << 20)
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            graphed.invert(1, noise_for(flow, rows), Rows.plain(noise_for(flow, rows)))
        torch.cuda.empty_cache()
        found = graphed.invert(1, noise_for(flow, 16), Rows.plain(noise_for(flow, 16)))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    torch.testing.assert_close(found, Graphed(flow).invert(1, noise_for(flow, 16), Rows.plain(noise_for(flow, 16))))


def test_scores_and_denoised_images_are_those_of_a_cpu(flow: TarFlow) -> None:
    here, images = load("mnist-28"), torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.arange(8)
    there = flow.log_prob(images.cuda(), labels.cuda()).cpu()
    torch.testing.assert_close(there, here.log_prob(images, labels), rtol=1e-4, atol=1e-2)
    clean = denoise(flow, images.cuda(), labels.cuda()).cpu()
    torch.testing.assert_close(clean, denoise(here, images, labels), rtol=1e-3, atol=1e-3)
