"""What is asked of the workers of pictures, as paintings, and what is answered of each.

Owns the way from a request and the bytes beside it to noise, and from painted pixels to a result and its files, or to
whose fault it is that there are none. Knows nothing of queues.
"""

from collections.abc import Mapping, Sequence
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
    images_of,
)
from worker.engine import Engine, Pictures
from worker.errors import JobError, NonFiniteSample, Overflow
from worker.images import encode_pictures, encode_sheet, laid_out
from worker.painter import BetweenBlocks
from worker.painting import Painting
from worker.way_back import MOST_END_ERROR, arc, noise_of, round_trip

Answer = tuple[Frozen, Mapping[str, bytes]]


@dataclass(frozen=True)
class PictureJob:
    """One request, and the bytes beside it where there are any."""

    request: PictureRequest
    content: bytes

    @classmethod
    def of(cls, request: PictureRequest, content: bytes | None) -> "PictureJob":
        """The job of a request.

        Raises:
            JobError: The bytes that it is about are gone.
        """
        if content is None and not isinstance(request, GenerateRequest):
            raise JobError("what the job is about is gone: it waited longer than that is kept")
        return cls(request, content or b"")

    @property
    def images(self) -> int:
        """How many pictures are painted for it."""
        return images_of(self.request)

    def painting(self, engine: Engine) -> Painting | JobError:
        """What it is painted from: for images, what they are encoded as, or an `Overflow` where that is not finite."""
        request, config = self.request, engine.flow.config
        shape = (config.patches, config.patch_dims)
        if isinstance(request, GenerateRequest):
            return Painting.seeded(request, shape)
        if isinstance(request, VerifyRequest):
            return Painting.seeded(request.claim, shape)
        if isinstance(request, DecodeRequest):
            noise = torch.frombuffer(bytearray(self.content), dtype=torch.float32)
            return Painting.guided(noise.view(1, *shape), request)
        return self._encoded(engine, request)

    def _encoded(self, engine: Engine, request: EncodeRequest | InterpolateRequest) -> Painting | JobError:
        config, images = engine.flow.config, 1 if isinstance(request, EncodeRequest) else len(request.ends)
        pixels = _pixels(self.content, (images, config.in_channels, config.image_size, config.image_size))
        noise = torch.stack([noise_of(engine.flow, each, request.class_index) for each in pixels])
        wild = tuple(index for index, each in enumerate(noise) if not bool(each.isfinite().all()))
        if wild:
            return Overflow("image" if isinstance(request, EncodeRequest) else _end(wild))
        if isinstance(request, InterpolateRequest):
            noise = arc(noise[0], noise[1], request.n)
        return Painting.exact(noise, request.class_index)


@dataclass(frozen=True)
class PaintedJob:
    """A job, what it was painted from, and what was made of that; or why it was not."""

    job: PictureJob
    painting: Painting | JobError
    made: Pictures | JobError

    @property
    def non_finite(self) -> int:
        """Pictures that were not finite of noise of our own: a client's noise may give what it likes."""
        if not isinstance(self.job.request, GenerateRequest):
            return 0
        if isinstance(self.made, Pictures):
            return len(self.made.stabilised)
        return len(self.made.rows)

    @property
    def images(self) -> int:
        """Pictures that were made."""
        return self.job.images if isinstance(self.made, Pictures) else 0

    @property
    def cost(self) -> int:
        """Pictures that were painted, whatever came of them."""
        return self.job.images if isinstance(self.painting, Painting) else 0

    def answer(self, engine: Engine) -> Answer | JobError:
        """The result, and the files that lie beside it; or why there is none."""
        if isinstance(self.painting, JobError):
            return self.painting
        if isinstance(self.made, JobError):
            return self._unpainted(engine, self.painting, self.made)
        request, made, facts = self.job.request, self.made, engine.facts()
        height, width = made.pixels.shape[2:]
        if isinstance(request, GenerateRequest):
            generated = GenerateResult(seeds=request.seeds, width=width, height=height, stabilised=made.stabilised)
            return generated, encode_pictures(made.pixels, request, facts)
        if isinstance(request, EncodeRequest):
            return self._round_trip(engine, made), _latents(self.painting)
        if isinstance(request, VerifyRequest):
            return self._verified(request, made, facts), {}
        if isinstance(request, InterpolateRequest) and (lost := self._lost_ends(engine, made)):
            return Overflow(_end(lost), "it does not come back")
        painted = GenerateResult(seeds=(), width=width, height=height, stabilised=made.stabilised)
        return painted, encode_sheet(made.pixels, _words(request, facts))

    def _unpainted(self, engine: Engine, painting: Painting, error: JobError) -> Answer | JobError:
        """What is answered where no picture came of it: the noise that a request brings is the request's own."""
        request = self.job.request
        is_its_own = isinstance(error, Overflow) or (isinstance(error, NonFiniteSample) and error.is_noise_s)
        if isinstance(request, VerifyRequest) and is_its_own:
            return VerifyResult(class_name=engine.facts().class_name(request.claim.class_index)), {}
        if not isinstance(error, NonFiniteSample):
            return error
        if isinstance(request, GenerateRequest) and is_its_own:
            return Overflow("seed", str(error), error.rows)
        if isinstance(request, EncodeRequest):
            return EncodeResult(), _latents(painting)
        if isinstance(request, DecodeRequest):
            return Overflow("latents", str(error))
        if isinstance(request, InterpolateRequest):
            ends = tuple(row for row in error.rows if row in (0, request.n - 1))
            return Overflow(_end(ends), str(error)) if ends else Overflow("n", str(error), error.rows)
        return error

    def _lost_ends(self, engine: Engine, made: Pictures) -> tuple[int, ...]:
        """Which of the two images between which pictures were made are not what their latents give."""
        pixels = _pixels(self.job.content, (2, *made.pixels.shape[1:]))
        errors = [round_trip(engine.flow, pixels[end], made.images[-end])[0] for end in (0, 1)]
        return tuple(end for end, error in enumerate(errors) if error > MOST_END_ERROR)

    def _round_trip(self, engine: Engine, made: Pictures) -> EncodeResult:
        (pixels,) = _pixels(self.job.content, (1, *made.pixels.shape[1:]))
        largest, rms, changed = round_trip(engine.flow, pixels, made.images[0])
        return EncodeResult(max_abs_error=largest, rms_error=rms, changed_values=changed)

    def _verified(self, request: VerifyRequest, made: Pictures, facts: ModelFacts) -> VerifyResult:
        recomputed = laid_out(made.pixels)
        channels, height, width = recomputed.shape
        name = facts.class_name(request.claim.class_index)
        found = VerifyResult(class_name=name, width=width, height=height, channels=channels)
        if (request.channels, request.height, request.width) != (channels, height, width):
            return found
        (claimed,) = _pixels(self.job.content, (1, channels, height, width))
        difference = (claimed.int() - recomputed.int()).abs()
        differences = {"max_difference": int(difference.max()), "differing_values": int((difference > 0).sum())}
        return found.model_copy(update=differences)


def paint_all(
    engine: Engine, jobs: Sequence[PictureJob], between_blocks: BetweenBlocks | None = None
) -> list[PaintedJob]:
    """Encode what is to be encoded, and paint all jobs in one batch; a job's failure is its own."""
    paintings = [each.painting(engine) for each in jobs]
    made = engine.paint(paintings, between_blocks)
    return [PaintedJob(*each) for each in zip(jobs, paintings, made, strict=True)]


def _end(wild: tuple[int, ...]) -> str:
    """The field of the only end, 0 or another, that is not finite; of both where that is not so simple."""
    return f"image[{min(wild[0], 1)}]" if len(wild) == 1 else "image"


def _latents(painting: Painting) -> dict[str, bytes]:
    return {"latents": painting.noise[0].numpy().astype("<f4").tobytes()}


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
