"""What is asked of a worker: everything that decides an answer, defaults filled in.

Owns the requests and their digest. Knows nothing of HTTP, or of where they lie in Redis.
"""

import hashlib
import json
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import Field

from worker.contract.bounds import (
    DEFAULT_ALPHA,
    MAX_ALPHA,
    MAX_FILES,
    MAX_GUIDANCE,
    MAX_IMAGES,
    MAX_SEED,
    MIN_ALPHA,
    MIN_TEMPERATURE,
    NO_CLASS,
)
from worker.contract.frozen import Frozen


class GenerateRequest(Frozen):
    """Everything that decides the pixels of a generation, defaults filled in.

    Attributes:
        model: Name of the model.
        model_digest: Digest of the weights the service knew when it filled in the defaults.
        class_index: The class, or -1 for none.
        guidance: Guidance weight, 0 = plain.
        n: Images to make; image i is made from seed + i alone, modulo 2^53.
        seed: Seed of the first image.
        denoise: Whether the score-based denoising step is taken.
        attention_temperature: Of the null branch; 1 = off.
    """

    model: str
    model_digest: str
    class_index: Annotated[int, Field(ge=NO_CLASS)]
    guidance: Annotated[float, Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False)]
    n: Annotated[int, Field(ge=1, le=MAX_IMAGES)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)]
    denoise: bool
    attention_temperature: Annotated[float, Field(ge=MIN_TEMPERATURE, le=1, allow_inf_nan=False)]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each image, every one a seed that can be asked for by itself."""
        return tuple((self.seed + i) % (MAX_SEED + 1) for i in range(self.n))


class ScoreInput(Frozen):
    """One image to score, already in the model's size and colours; its pixels travel beside the request.

    Attributes:
        sha256: Digest of the pixels.
        resized_from: Width and height of the upload, where they were not the model's.
        converted_from: Pillow mode of the upload, where it was not the model's.
        lossy_format: Format of the upload, where it may have changed pixels.
    """

    sha256: str
    resized_from: tuple[int, int] | None = None
    converted_from: str | None = None
    lossy_format: str | None = None

    @classmethod
    def of(cls, fitted: object) -> Self:
        """What is said of an image, by an object of these attributes that fitted it."""
        return cls.model_validate(fitted, from_attributes=True)


class CalibrationId(Frozen):
    """Which calibration judges: its name, and its digest so that an answer can be had again."""

    name: str
    digest: str


class ScoreRequest(Frozen):
    """Everything that decides the scores of some images.

    Attributes:
        model: Name of the model.
        model_digest: Digest of the weights the service knew.
        class_index: The class, -1 for none, or `all` for every class.
        images: The images, in order; their pixels (N, C, H, W) uint8 lie under `input_key`.
        calibration: What says how unusual they are; None where the model has none.
        alpha: The rate of false alarms among the model's own images.
        patches: Whether each patch's share of the log-likelihood is wanted.
        heat_map: Whether a picture of them is, of the one image.
        prior: p(class), where every class is wanted; empty = all alike.
        classes: Classes that every image is scored under, beside none; 0 unless every class is wanted.
    """

    model: str
    model_digest: str
    class_index: Annotated[int, Field(ge=NO_CLASS)] | Literal["all"]
    images: Annotated[tuple[ScoreInput, ...], Field(min_length=1, max_length=MAX_FILES)]
    calibration: CalibrationId | None = None
    alpha: Annotated[float, Field(ge=MIN_ALPHA, le=MAX_ALPHA, allow_inf_nan=False)] = DEFAULT_ALPHA
    patches: bool = False
    heat_map: bool = False
    prior: tuple[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)], ...] = ()
    classes: Annotated[int, Field(ge=0)] = 0

    @property
    def passes(self) -> int:
        """What it costs: forward passes of one image under one class or none."""
        return len(self.images) * (1 + self.classes)


class EncodeRequest(Frozen):
    """Everything that decides the latents of one image; its pixels (C, H, W) uint8 lie under `input_key`."""

    model: str
    model_digest: str
    class_index: Annotated[int, Field(ge=NO_CLASS)]
    image: ScoreInput


class DecodeRequest(Frozen):
    """Everything that decides the picture that latents give; fields as in `GenerateRequest`.

    Attributes:
        latents_sha256: Digest of the latents (T, D), float32, little-endian, which lie under `input_key`.
    """

    model: str
    model_digest: str
    class_index: Annotated[int, Field(ge=NO_CLASS)]
    guidance: Annotated[float, Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False)]
    denoise: bool
    attention_temperature: Annotated[float, Field(ge=MIN_TEMPERATURE, le=1, allow_inf_nan=False)]
    latents_sha256: str


class InterpolateRequest(Frozen):
    """Everything that decides the pictures between two images.

    Attributes:
        n: Pictures, both ends among them, evenly spaced on the sphere of the latents.
        ends: The images; their pixels (2, C, H, W) uint8 lie under `input_key`.
    """

    model: str
    model_digest: str
    class_index: Annotated[int, Field(ge=NO_CLASS)]
    n: Annotated[int, Field(ge=2, le=MAX_IMAGES)]
    ends: tuple[ScoreInput, ScoreInput]


class VerifyRequest(Frozen):
    """A picture and the request it claims to come from.

    Attributes:
        model_digest: Of the weights the service knew; the claim has its own.
        claim: What the picture says of itself.
        class_name: How it calls the class of that; None for no class.
        sha256: Digest of its pixels, which lie under `input_key`, (C, H, W) uint8.
        width: In pixels.
        height: In pixels.
        channels: 1 grey, 3 RGB.
    """

    model: str
    model_digest: str
    claim: GenerateRequest
    class_name: str | None
    sha256: str
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    channels: Literal[1, 3]


PictureRequest = GenerateRequest | EncodeRequest | DecodeRequest | InterpolateRequest | VerifyRequest
Request = PictureRequest | ScoreRequest


def images_of(request: Request) -> int:
    """How many images a request is about: those that are painted for it, or scored."""
    if isinstance(request, ScoreRequest):
        return len(request.images)
    if isinstance(request, VerifyRequest):
        return request.claim.n
    return request.n if isinstance(request, GenerateRequest | InterpolateRequest) else 1


@lru_cache(maxsize=1024)
def canonical_digest(request: Request) -> str:
    """SHA-256 over the request, model digest included: equal requests on equal weights have equal answers."""
    canonical = json.dumps(request.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
