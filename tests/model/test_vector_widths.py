"""Owns the law that the compiled loop is right on processors with narrower vectors than this one's."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROGRAMME = """
import sys
from llvmlite import binding

features = binding.get_host_cpu_features()
for name in sys.argv[1].split(","):
    features[name] = False
binding.get_host_cpu_features = lambda: features

import torch
from model import TarFlow, TarFlowConfig
from model.fused import Fused, load_kernel
from model.rows import Rows
from model.stepwise import Stepwise

kernel = load_kernel()
assert kernel.LANES == int(sys.argv[2]), kernel.LANES
torch.manual_seed(0)
flow = TarFlow(TarFlowConfig(8, 2, 96, 2, 2, in_channels=1, head_dim=32)).requires_grad_(False)
for block in flow.blocks:
    block.proj_out.weight.normal_(std=0.05)
noise = torch.randn(9, 16, 4)
found = Fused(flow, kernel, threads=1).invert(1, noise, Rows.plain(noise))
expected = Stepwise(flow).invert(1, noise, Rows.plain(noise))
torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
"""


@pytest.mark.parametrize(("missing", "lanes"), [("avx512f", 8), ("avx512f,avx", 4)])
def test_the_compiled_loop_is_right_with_narrower_vectors(missing: str, lanes: int, tmp_path: Path) -> None:
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "", "PYTHONPATH": str(REPOSITORY)}
    command = (sys.executable, "-c", PROGRAMME, missing, str(lanes))
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
