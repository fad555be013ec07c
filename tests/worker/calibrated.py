"""Tiny engines with a calibration, made of noise as `tarflow calibrate` makes it.

Owns the images it is made of. Knows no law.
"""

import random
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from model import TarFlowConfig
from model.calibration import Calibration, Provenance
from training.calibrator import Draw, calibrate
from training.image_folder import ImageFolder
from worker.engine import Engine

FITTED, COMPARED = 100, 100
_made: dict[tuple[str, TarFlowConfig, str, int], Calibration] = {}  # each takes a second


def calibration(engine: Engine, name: str = "default", seed: int = 0) -> Calibration:
    """What is usual for an engine that was made for noise; made once for equal engines."""
    key = engine.digest, engine.flow.config, name, seed
    if key not in _made:
        _made[key] = _calibration(engine, name, seed)
    return _made[key]


def _calibration(engine: Engine, name: str, seed: int) -> Calibration:
    count, config = FITTED + COMPARED, engine.flow.config
    shape = (count, config.in_channels, config.image_size, config.image_size)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    data = ImageFolder(pixels, torch.arange(count) % max(1, config.num_classes), engine.card.class_names, ())
    order = torch.arange(count)
    provenance = Provenance("2026-01-01T00:00:00+00:00", engine.digest, "noise", count, seed, FITTED, COMPARED)
    return calibrate(engine.flow, data, Draw(order[:FITTED], order[FITTED:], None), name, provenance)


def calibrated(engine: Engine, *names: str) -> Engine:
    """The engine with calibrations of these names."""
    made = (calibration(engine, name, seed) for seed, name in enumerate(names or ("default",)))
    return replace(engine, calibrations=tuple(replace(each, digest=f"c{index}") for index, each in enumerate(made)))


def noise(file: Path, seed: int = 1) -> Path:
    """A picture of noise."""
    Image.frombytes("L", (8, 8), random.Random(seed).randbytes(64)).save(file)
    return file
