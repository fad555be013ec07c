"""The two jobs without a server: files in, files and JSON out.

Owns the reading and writing of files. Knows nothing of queues.
"""

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from pictures.fitting import Shape, UnfitImage, decode, fit
from worker.contract import MAX_SEED, GenerateRequest, ScoreInput, ScoreRequest, ScoreResult
from worker.engine import Engine
from worker.errors import JobError
from worker.images import encode_pictures


@dataclass(frozen=True)
class GenerateWish:
    """What the command line may say of a generation; None = the model's default."""

    class_name: str | None = None
    guidance: float | None = None
    n: int = 1
    seed: int | None = None
    denoise: bool | None = None


def generate_file(engine: Engine, wish: GenerateWish, out: Path) -> GenerateRequest:
    """Write the picture, or the contact sheet of several, and return the request that made it.

    Raises:
        ValueError: A value out of its bounds.
        NonFiniteSample: The picture is not finite.
    """
    facts = engine.facts()
    request = GenerateRequest(
        model=facts.name,
        model_digest=facts.digest,
        class_index=facts.class_index(wish.class_name),
        guidance=facts.defaults.guidance if wish.guidance is None else wish.guidance,
        n=wish.n,
        seed=secrets.randbelow(MAX_SEED - wish.n) if wish.seed is None else wish.seed,
        denoise=facts.defaults.denoise if wish.denoise is None else wish.denoise,
        attention_temperature=facts.defaults.attention_temperature,
    )
    (made,) = engine.generate([request])
    if isinstance(made, JobError):
        raise made
    files = encode_pictures(made.pixels, request, facts)
    out.write_bytes(files.get("sheet", files["0"]))
    return request


def score_files(engine: Engine, files: list[Path], class_name: str | None) -> ScoreResult:
    """Scores of image files, in order.

    Raises:
        ValueError: An unknown class, or a file that is no image.
    """
    facts = engine.facts()
    shape = Shape(facts.image_size, facts.in_channels)
    blobs = [_pixels(file, shape) for file in files]
    inputs = tuple(ScoreInput(sha256=hashlib.sha256(blob).hexdigest()) for blob in blobs)
    every = class_name == "all" and facts.num_classes > 0
    wanted: int | Literal["all"] = "all" if every else facts.class_index(class_name)
    request = ScoreRequest(model=facts.name, model_digest=facts.digest, class_index=wanted, images=inputs)
    flat = torch.frombuffer(bytearray(b"".join(blobs)), dtype=torch.uint8)
    return engine.score(request, flat.view(len(blobs), shape.channels, shape.side, shape.side))


def _pixels(file: Path, shape: Shape) -> bytes:
    try:
        return fit(decode(file), shape)
    except UnfitImage as error:
        raise ValueError(f"{file}: {error}") from error
