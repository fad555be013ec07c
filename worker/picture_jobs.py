"""What is asked of the workers of pictures, as paintings, and what is answered of each.

Owns the way from a request and the bytes beside it to noise, and from painted pixels to a result and its files.
Knows nothing of queues.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.contract import (
    DecodeRequest,
    EncodeRequest,
    EncodeResult,
    Frozen,
    GenerateRequest,
    GenerateResult,
    InterpolateRequest,
    ModelFacts,
    PictureRequest,
    VerifyRequest,
    VerifyResult,
)
from worker.engine import Engine, Pictures
from worker.errors import JobError
from worker.images import encode_pictures, encode_sheet, laid_out
from worker.painting import Painting
from worker.way_back import arc, noise_of, round_trip


@dataclass(frozen=True)
class PictureJob:
    """One request, the bytes beside it where there are any, and what it is painted from."""

    request: PictureRequest
    content: bytes
    painting: Painting

    @classmethod
    def of(cls, engine: Engine, request: PictureRequest, content: bytes | None) -> "PictureJob":
        """The job of a request.

        Raises:
            JobError: The bytes that it is about are gone.
        """
        if content is None and not isinstance(request, GenerateRequest):
            raise JobError("what the job is about is gone: it waited longer than that is kept")
        return cls(request, content or b"", _painting(engine, request, content or b""))

    def answer(self, engine: Engine, made: Pictures) -> tuple[Frozen, Mapping[str, bytes]]:
        """The result, and the files that lie beside it."""
        request, facts = self.request, engine.facts()
        height, width = made.pixels.shape[2:]
        if isinstance(request, GenerateRequest):
            generated = GenerateResult(seeds=request.seeds, width=width, height=height, stabilised=made.stabilised)
            return generated, encode_pictures(made.pixels, request, facts)
        if isinstance(request, EncodeRequest):
            return self._encoded(engine, made)
        if isinstance(request, VerifyRequest):
            return self._verified(engine, request, made), {}
        painted = GenerateResult(seeds=(), width=width, height=height, stabilised=made.stabilised)
        return painted, encode_sheet(made.pixels, _words(request, facts))

    def _encoded(self, engine: Engine, made: Pictures) -> tuple[Frozen, Mapping[str, bytes]]:
        (pixels,) = _pixels(self.content, (1, *made.pixels.shape[1:]))
        largest, rms, changed = round_trip(engine.flow, pixels, made.images[0])
        result = EncodeResult(max_abs_error=largest, rms_error=rms, changed_values=changed)
        return result, {"latents": self.painting.noise[0].numpy().astype("<f4").tobytes()}

    def _verified(self, engine: Engine, request: VerifyRequest, made: Pictures) -> VerifyResult:
        recomputed = laid_out(made.pixels)
        channels, height, width = recomputed.shape
        found = VerifyResult(
            class_name=engine.facts().class_name(request.claim.class_index),
            width=width,
            height=height,
            channels=channels,
        )
        if (request.channels, request.height, request.width) != (channels, height, width):
            return found
        (claimed,) = _pixels(self.content, (1, channels, height, width))
        difference = (claimed.int() - recomputed.int()).abs()
        differences = {"max_difference": int(difference.max()), "differing_values": int((difference > 0).sum())}
        return found.model_copy(update=differences)


def _painting(engine: Engine, request: PictureRequest, content: bytes) -> Painting:
    config = engine.flow.config
    shape = (config.patches, config.patch_dims)
    if isinstance(request, GenerateRequest):
        return Painting.seeded(request, shape)
    if isinstance(request, VerifyRequest):
        return Painting.seeded(request.claim, shape)
    if isinstance(request, DecodeRequest):
        noise = torch.frombuffer(bytearray(content), dtype=torch.float32)
        return Painting.guided(noise.view(1, *shape), request)
    images = 1 if isinstance(request, EncodeRequest) else len(request.ends)
    pixels = _pixels(content, (images, config.in_channels, config.image_size, config.image_size))
    noise = torch.stack([noise_of(engine.flow, each, request.class_index) for each in pixels])
    if isinstance(request, InterpolateRequest):
        noise = arc(noise[0], noise[1], request.n)
    return Painting.exact(noise, request.class_index)


def _words(request: DecodeRequest | InterpolateRequest, facts: ModelFacts) -> dict[str, object]:
    """What a picture says of how it was made, that cannot be made from its own words."""
    told = request.model_dump(mode="json", exclude={"class_index", "ends"})
    class_index = request.class_index
    told |= {"class": None if class_index < 0 else class_index, "class_name": facts.class_name(class_index)}
    if isinstance(request, InterpolateRequest):
        told["between"] = [end.sha256 for end in request.ends]
    return told


def _pixels(content: bytes, shape: tuple[int, ...]) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(shape)
