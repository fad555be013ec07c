"""What a client may ask for in a URL, with its bounds.

Owns the query parameters and how they become requests. Knows nothing of Redis or answers.
"""

import hashlib
import secrets
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service.errors import InvalidInput
from worker.contract import (
    AS_DECIMAL,
    AS_WHOLE,
    MAX_GUIDANCE,
    MAX_IMAGES,
    MAX_SEED,
    MIN_TEMPERATURE,
    GenerateRequest,
    ModelFacts,
    ScoreInput,
    ScoreRequest,
    ScoreWish,
    Unfit,
)


class Query(BaseModel):
    """Parameters of a URL; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str | None, Field(min_length=1, description="name of the model; default: the first offered")] = (
        None
    )


class GenerateQuery(Query):
    """Parameters of `POST /generate`."""

    class_: Annotated[
        str | None, Field(alias="class", max_length=200, description="index or name; left out: no class")
    ] = None
    guidance: Annotated[
        float | None,
        Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False, description="weight; default: the model's"),
        AS_DECIMAL,
    ] = None
    n: Annotated[int, Field(ge=1, le=MAX_IMAGES, description="images to make"), AS_WHOLE] = 1
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, description="image i is made from seed + i; drawn if left out"), AS_WHOLE
    ] = None
    denoise: Annotated[bool | None, Field(description="take the denoising step; default: the model's")] = None
    attention_temperature: Annotated[
        float | None,
        Field(
            ge=MIN_TEMPERATURE,
            le=1,
            allow_inf_nan=False,
            description="of the null branch, for guidance without a class",
        ),
        AS_DECIMAL,
    ] = None

    def request(self, facts: ModelFacts, idempotency_key: str | None = None) -> GenerateRequest:
        """The request with every default filled in, the seed too; under one key it is always the same.

        Raises:
            InvalidInput: No such class, or denoising asked of a model that has no such step.
        """
        defaults = facts.defaults
        check_denoise(facts, self.denoise)
        return GenerateRequest(
            model=facts.name,
            model_digest=facts.digest,
            class_index=class_index_of(facts, self.class_),
            guidance=defaults.guidance if self.guidance is None else self.guidance,
            n=self.n,
            seed=self._drawn_seed(idempotency_key) if self.seed is None else self.seed,
            denoise=defaults.denoise if self.denoise is None else self.denoise,
            attention_temperature=self.attention_temperature or defaults.attention_temperature,
        )

    def _drawn_seed(self, idempotency_key: str | None) -> int:
        if idempotency_key is None:
            return secrets.randbelow(MAX_SEED + 1)
        return int.from_bytes(hashlib.sha256(idempotency_key.encode()).digest()) % (MAX_SEED + 1)


class ScoreQuery(Query, ScoreWish):
    """Parameters of `POST /score`."""

    def request(self, facts: ModelFacts, images: tuple[ScoreInput, ...], heat_map: bool = False) -> ScoreRequest:
        """The request for these images.

        Raises:
            InvalidInput: What the model cannot fulfil, as `ScoreWish.request`.
        """
        try:
            return super().request(facts, images, heat_map)
        except Unfit as error:
            raise InvalidInput.of(error.field, error.location, error.message) from error


def class_index_of(facts: ModelFacts, wanted: str | None) -> int:
    """The class that a client names, -1 for none; raises InvalidInput."""
    try:
        return facts.class_index(wanted)
    except ValueError as error:
        raise InvalidInput.of("class", "query", str(error)) from error


def check_denoise(facts: ModelFacts, wanted: bool | None) -> None:
    """Raise InvalidInput where denoising is asked of a model that has no such step."""
    if wanted and not facts.can_denoise:
        raise InvalidInput.of("denoise", "query", f"{facts.name} was trained without Gaussian noise: only false works")
