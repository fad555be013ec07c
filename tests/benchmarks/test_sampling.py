"""Owns the laws of the speed tables: every way is timed in turn, and against the same pictures."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import roofline, sampling, scoring
from benchmarks.clock import medians_ms
from model import TarFlow, TarFlowConfig, save
from model.card import Card


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A tiny checkpoint with three classes."""
    folder = tmp_path / "tiny"
    config = TarFlowConfig(8, 4, 16, 2, 1, in_channels=1, head_dim=16, num_classes=3, noise_std=0.1)
    save(TarFlow(config), folder, Card())
    return folder


def test_ways_take_turns_so_that_a_slow_minute_slows_them_all() -> None:
    calls: list[str] = []
    ways = {name: lambda name=name: calls.append(name) for name in ("one", "other")}
    times = medians_ms(ways, torch.device("cpu"), repeats=2)
    assert calls == ["one", "other"] * 3
    assert set(times) == {"one", "other"}


def test_the_sampling_table_has_every_way_beside_the_textbook(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    options = ["--checkpoint", str(checkpoint), "--batch", "1", "3", "--repeats", "1", "--json", str(file)]
    assert sampling.main(options) == 0
    figures = json.loads(file.read_text())
    ways = [row["way"] for row in figures]
    assert ways == ["textbook", "textbook, 1 thread", "sequential", "parallel", "auto"] * 4
    assert max(row["max_abs_error"] for row in figures) < 1e-4


def test_ratios_are_to_the_faster_of_the_textbook_loops(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    options = ["--checkpoint", str(checkpoint), "--batch", "2", "--guidance", "0", "--repeats", "1"]
    assert sampling.main([*options, "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    fastest_ms = min(row["median_ms"] for row in figures if row["way"].startswith("textbook"))
    assert [row["ratio"] * row["median_ms"] for row in figures] == pytest.approx([fastest_ms] * len(figures))


def test_half_precision_is_compared_with_the_textbook_in_float32(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    options = ["--checkpoint", str(checkpoint), "--batch", "2", "--guidance", "2", "--repeats", "1"]
    assert sampling.main([*options, "--precision", "bf16", "--json", str(file)]) == 0
    textbook, *_ = json.loads(file.read_text())
    assert 0 <= textbook["max_abs_error"] < 0.1


def test_the_scoring_table_has_a_rate_for_every_batch(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    options = ["--checkpoint", str(checkpoint), "--batch", "1", "4", "--repeats", "1", "--json", str(file)]
    assert scoring.main(options) == 0
    assert [row["batch"] for row in json.loads(file.read_text())] == [1, 4]


def test_the_published_shapes_can_be_timed(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    options = ["--device", "cpu", "--shape", "2-64-2-2@8", "--batch", "1", "3", "--json", str(file)]
    assert roofline.main(options) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [(row["precision"], row["batch"]) for row in rows] == [(p, b) for p in ("float32", "bf16") for b in (1, 3)]
    assert max(row["max_abs_error"] for row in rows) < 0.1


def test_a_step_reads_the_weights_once_and_half_the_keys_and_values_of_every_row() -> None:
    flow = TarFlow(TarFlowConfig(8, 2, 64, 2, 3, num_classes=10))
    weights = sum(p.numel() for n, p in flow.blocks[0].named_parameters() if "embed" not in n)
    assert roofline.step_bytes(flow, rows=4) == 4 * (weights + 2 * 3 * 4 * 64 * 15 / 2)
