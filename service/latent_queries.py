"""What a client may ask for in the URLs of the way back, with its bounds.

Owns their query parameters and how they become requests. Knows nothing of Redis or answers.
"""

import hashlib
import math
from typing import Annotated

from pydantic import Field

from service.claims import Claim
from service.errors import InvalidInput
from service.latent_files import Latents
from service.queries import Query, check_denoise, class_index_of
from worker.contract import (
    AS_DECIMAL,
    AS_WHOLE,
    MAX_GUIDANCE,
    MAX_IMAGES,
    MIN_TEMPERATURE,
    SHEET_MARGIN,
    DecodeRequest,
    EncodeRequest,
    InterpolateRequest,
    ModelFacts,
    ScoreInput,
    VerifyRequest,
)


class ClassQuery(Query):
    """Parameters of `POST /encode`."""

    class_: Annotated[
        str | None, Field(alias="class", max_length=200, description="index or name; left out: no class")
    ] = None

    def encoding(self, facts: ModelFacts, image: ScoreInput) -> EncodeRequest:
        """The request for this image; raises InvalidInput where there is no such class."""
        index = class_index_of(facts, self.class_)
        return EncodeRequest(model=facts.name, model_digest=facts.digest, class_index=index, image=image)


class DecodeQuery(ClassQuery):
    """Parameters of `POST /decode`; by default it undoes `POST /encode`."""

    guidance: Annotated[
        float, Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False, description="weight, as to generate"), AS_DECIMAL
    ] = 0.0
    denoise: Annotated[bool, Field(description="take the denoising step")] = False
    attention_temperature: Annotated[
        float,
        Field(ge=MIN_TEMPERATURE, le=1, allow_inf_nan=False, description="of the null branch, as to generate"),
        AS_DECIMAL,
    ] = 1.0

    def decoding(self, facts: ModelFacts, latents: Latents) -> DecodeRequest:
        """The request for these latents.

        Raises:
            InvalidInput: No such class, latents of other weights, or denoising asked of a model that has no such step.
        """
        if latents.model_digest not in (None, facts.digest):
            raise InvalidInput.of(
                "latents", "body", f"are of weights {latents.model_digest[:80]!r}, not of {facts.name}"
            )
        check_denoise(facts, self.denoise)
        return DecodeRequest(
            model=facts.name,
            model_digest=facts.digest,
            class_index=class_index_of(facts, self.class_),
            guidance=self.guidance,
            denoise=self.denoise,
            attention_temperature=self.attention_temperature,
            latents_sha256=hashlib.sha256(latents.content).hexdigest(),
        )


class InterpolateQuery(ClassQuery):
    """Parameters of `POST /interpolate`."""

    n: Annotated[int, Field(ge=2, le=MAX_IMAGES, description="pictures, both ends among them"), AS_WHOLE] = 8

    def between(self, facts: ModelFacts, ends: tuple[ScoreInput, ScoreInput]) -> InterpolateRequest:
        """The request for the pictures between two images; raises InvalidInput where there is no such class."""
        index = class_index_of(facts, self.class_)
        return InterpolateRequest(model=facts.name, model_digest=facts.digest, class_index=index, n=self.n, ends=ends)


def verification(facts: ModelFacts, claim: Claim) -> VerifyRequest:
    """The request to recompute a picture.

    Raises:
        InvalidInput: It claims a class or a step that the model does not have.
    """
    columns = math.ceil(math.sqrt(MAX_IMAGES))
    largest = (facts.image_size + SHEET_MARGIN) * columns + SHEET_MARGIN
    if max(claim.width, claim.height) > largest:
        raise InvalidInput.of(
            claim.field,
            "body",
            f"has {claim.width} x {claim.height} pixels; no picture of {facts.name} is wider than {largest}",
        )
    if claim.request.class_index >= facts.num_classes:
        raise InvalidInput.of(
            claim.field, "body", f"claims class {claim.request.class_index}; {facts.name} has no such class"
        )
    if claim.request.denoise and not facts.can_denoise:
        raise InvalidInput.of(claim.field, "body", f"claims to be denoised; {facts.name} has no such step")
    return VerifyRequest(
        model=facts.name,
        model_digest=facts.digest,
        claim=claim.request,
        class_name=claim.class_name,
        sha256=claim.sha256,
        width=claim.width,
        height=claim.height,
        channels=3 if claim.channels == 3 else 1,
    )
