"""What a client may ask for in a URL, with its bounds.

Owns the query parameters and how they become requests. Knows nothing of Redis or answers.
"""

import hashlib
import math
import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from service.errors import InvalidInput
from worker.contract import (
    DEFAULT_ALPHA,
    MAX_ALPHA,
    MAX_CLASS_PASSES,
    MAX_GUIDANCE,
    MAX_IMAGES,
    MAX_SEED,
    MIN_ALPHA,
    MIN_TEMPERATURE,
    CalibrationId,
    GenerateRequest,
    ModelFacts,
    ScoreInput,
    ScoreRequest,
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
        float | None, Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False, description="weight; default: the model's")
    ] = None
    n: Annotated[int, Field(ge=1, le=MAX_IMAGES, description="images to make")] = 1
    seed: Annotated[
        int | None, Field(ge=0, le=MAX_SEED, description="image i is made from seed + i; drawn if left out")
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
    ] = None

    def request(self, facts: ModelFacts, idempotency_key: str | None = None) -> GenerateRequest:
        """The request with every default filled in, the seed too; under one key it is always the same.

        Raises:
            InvalidInput: No such class, or denoising asked of a model that has no such step.
        """
        defaults = facts.defaults
        if self.denoise and facts.noise_type != "gaussian":
            raise InvalidInput.of(
                "denoise", "query", f"{facts.name} was trained without Gaussian noise: only false works"
            )
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
        most = MAX_SEED + 1 - self.n
        if idempotency_key is None:
            return secrets.randbelow(most)
        return int.from_bytes(hashlib.sha256(idempotency_key.encode()).digest()) % most


class ScoreQuery(Query):
    """Parameters of `POST /score`."""

    class_: Annotated[
        str | None, Field(alias="class", max_length=200, description="index, name or `all`; left out: no class")
    ] = None
    alpha: Annotated[
        float,
        Field(ge=MIN_ALPHA, le=MAX_ALPHA, allow_inf_nan=False, description="rate of false alarms among own images"),
    ] = DEFAULT_ALPHA
    calibration: Annotated[
        str | None, Field(min_length=1, max_length=64, description="name of one of the model's; default: its first")
    ] = None
    patches: Annotated[bool, Field(description="list what each patch adds to the log-likelihood")] = False
    prior: Annotated[
        str | None,
        Field(max_length=20_000, description="with `class=all`: a weight for each class, separated by commas"),
        # Said to clients alone: as any text it would make URLs that no server reads.
        WithJsonSchema({"type": "string", "maxLength": 20_000, "pattern": "^[0-9eE+., -]+$"}),
    ] = None

    def request(self, facts: ModelFacts, images: tuple[ScoreInput, ...], heat_map: bool = False) -> ScoreRequest:
        """The request for these images.

        Raises:
            InvalidInput: No such class or calibration, a prior that fits no classes, too many images for a heat
                map or for every class.
        """
        every = self.class_ == "all" and facts.num_classes > 0
        wanted: int | Literal["all"] = "all" if every else class_index_of(facts, self.class_, ", or all")
        if every and len(images) * facts.num_classes > MAX_CLASS_PASSES:
            most = MAX_CLASS_PASSES // facts.num_classes
            raise InvalidInput.of("image", "body", f"takes at most {most} with class=all, got {len(images)}")
        if heat_map and len(images) > 1:
            raise InvalidInput.of("image", "body", f"takes one for a heat map (Accept: image/png), got {len(images)}")
        return ScoreRequest(
            model=facts.name,
            model_digest=facts.digest,
            class_index=wanted,
            images=images,
            calibration=self._calibration(facts),
            alpha=self.alpha,
            patches=self.patches,
            heat_map=heat_map,
            prior=_shares(self.prior, facts, every) if self.prior is not None else (),
            classes=facts.num_classes if every else 0,
        )

    def _calibration(self, facts: ModelFacts) -> CalibrationId | None:
        try:
            found = facts.calibration(self.calibration)
            return found.id if found else None
        except ValueError as error:
            raise InvalidInput.of("calibration", "query", str(error)) from error


def _shares(prior: str, facts: ModelFacts, every: bool) -> tuple[float, ...]:
    """Weights as shares of their sum."""
    if not every:
        raise InvalidInput.of("prior", "query", "goes with class=all alone")
    try:
        weights = [float(each) for each in prior.split(",")]
    except ValueError as error:
        raise InvalidInput.of("prior", "query", "takes numbers separated by commas") from error
    total = sum(weights)
    if len(weights) != facts.num_classes or not (min(weights) >= 0 and 0 < total < math.inf):
        raise InvalidInput.of(
            "prior",
            "query",
            f"takes {facts.num_classes} finite weights of at least 0, one above 0, got {prior[:100]!r}",
        )
    return tuple(weight / total for weight in weights)


def class_index_of(facts: ModelFacts, wanted: str | None, more: str = "") -> int:
    """The class that a client names, -1 for none; raises InvalidInput, which `more` may follow."""
    try:
        return facts.class_index(wanted)
    except ValueError as error:
        raise InvalidInput.of("class", "query", f"{error}{more}") from error
