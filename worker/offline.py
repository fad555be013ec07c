"""The two jobs without a server: files in, files and JSON out.

Owns the reading and writing of files. Knows nothing of queues.
"""

import io
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pictures.fitting import EMPTY, Fitted, Shape, UnfitImage, decode, fitted, refusal
from worker.contract import (
    IMAGE_FORMATS,
    MAX_FILES,
    MAX_IMAGE_PIXELS,
    MAX_SEED,
    GenerateRequest,
    ModelFacts,
    ScoreInput,
    ScoreWish,
    Unfit,
    score_answer,
)
from worker.engine import Engine
from worker.errors import JobError
from worker.heat_maps import draw_heat_map
from worker.images import encode_pictures
from worker.painter import Passage


@dataclass(frozen=True)
class GenerateWish:
    """What the command line may say of a generation; None = the model's default."""

    class_name: str | None = None
    guidance: float | None = None
    n: int = 1
    seed: int | None = None
    denoise: bool | None = None
    attention_temperature: float | None = None


def generate_file(
    engine: Engine, wish: GenerateWish, out: Path, reached: Callable[[int, int], None] | None = None
) -> GenerateRequest:
    """Write the picture, or the contact sheet of several, and return the request that made it.

    Args:
        engine: What makes it.
        wish: What is wanted.
        out: The file.
        reached: Told, after each flow block, how many are done of how many.

    Raises:
        ValueError: A value out of its bounds.
        NonFiniteSample: The picture is not finite.
        Overflow: It is not at this guidance, and is at 0.
    """
    facts = engine.facts()
    request = _request(facts, wish)

    def note(passage: Passage) -> frozenset[int]:
        if reached is not None:
            reached(passage.done, passage.blocks)
        return frozenset()

    (made,) = engine.generate([request], note)
    if isinstance(made, JobError):
        raise made
    files = encode_pictures(made.pixels, request, facts)
    out.write_bytes(files.get("sheet", files["0"]))
    return request


def _request(facts: ModelFacts, wish: GenerateWish) -> GenerateRequest:
    """The request with every default filled in, the seed too."""
    defaults = facts.defaults
    return GenerateRequest(
        model=facts.name,
        model_digest=facts.digest,
        class_index=facts.class_index(wish.class_name),
        guidance=defaults.guidance if wish.guidance is None else wish.guidance,
        n=wish.n,
        seed=secrets.randbelow(MAX_SEED + 1) if wish.seed is None else wish.seed,
        denoise=defaults.denoise if wish.denoise is None else wish.denoise,
        attention_temperature=(
            defaults.attention_temperature if wish.attention_temperature is None else wish.attention_temperature
        ),
    )


def score_files(
    engine: Engine,
    files: list[Path],
    wish: ScoreWish,
    heat_map: Path | None = None,
    reached: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """What `POST /score` answers of these images, in order; each result is told its `file`.

    Args:
        engine: What scores.
        files: The images.
        wish: What is wanted of them.
        heat_map: The file to write the one image's to.
        reached: Told, between chunks, how many forward passes are done of how many.

    Raises:
        ValueError: A wish that the model cannot fulfil, a file that is no image, too many, several for a heat map.
    """
    if heat_map and len(files) > 1:
        raise ValueError(f"--heat-map takes one file, got {len(files)}")
    if len(files) > MAX_FILES:
        raise Unfit("image", "body", f"takes 1..{MAX_FILES} files, got {len(files)}")
    facts = engine.facts()
    shape = Shape(facts.image_size, facts.in_channels)
    images = [_fitted(file, shape) for file in files]
    request = wish.request(facts, tuple(map(ScoreInput.of, images)), heat_map is not None)
    flat = torch.frombuffer(bytearray(b"".join(each.pixels for each in images)), dtype=torch.uint8)
    pixels = flat.view(len(images), shape.channels, shape.side, shape.side)
    result = engine.score(request, pixels, reached)
    if heat_map:
        heat_map.write_bytes(draw_heat_map(pixels[0], result.scores[0], request, facts, engine.judge(request)))
    answer = score_answer(request, result, facts)
    named = [{"file": str(file), **each} for file, each in zip(files, answer["results"], strict=True)]
    return answer | {"results": named}


def _fitted(file: Path, shape: Shape) -> Fitted:
    """Raises ValueError, in the words of the HTTP API."""
    content = file.read_bytes()
    if not content:
        raise ValueError(f"{file}: {EMPTY}")
    try:
        return fitted(decode(io.BytesIO(content), MAX_IMAGE_PIXELS, IMAGE_FORMATS), shape)
    except UnfitImage as error:
        raise ValueError(f"{file}: {refusal(error, MAX_IMAGE_PIXELS, IMAGE_FORMATS)}") from error
