"""What may be said of a scoring, by a URL or a command line, and the request that it becomes.

Owns the wish's fields, their bounds and the words of their errors. Knows nothing of HTTP or of files.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from worker.contract.bounds import DEFAULT_ALPHA, MAX_ALPHA, MAX_CLASS_PASSES, MIN_ALPHA
from worker.contract.facts import ModelFacts
from worker.contract.frozen import Frozen
from worker.contract.numerals import AS_DECIMAL, decimal
from worker.contract.requests import CalibrationId, ScoreInput, ScoreRequest


class Unfit(ValueError):
    """A wish that a model cannot fulfil: `field`, where it was given (`query` or `body`), and the `message`."""

    def __init__(self, field: str, location: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.location, self.message = field, location, message


class ScoreWish(Frozen):
    """What a client may ask for beside the images; None = the model's default."""

    class_: Annotated[
        str | None, Field(alias="class", max_length=200, description="index, name or `all`; left out: no class")
    ] = None
    alpha: Annotated[
        float,
        Field(ge=MIN_ALPHA, le=MAX_ALPHA, allow_inf_nan=False, description="rate of false alarms among own images"),
        AS_DECIMAL,
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
            Unfit: No such class or calibration, a prior that fits no classes, too many images for a heat map or for
                every class.
        """
        every = self.class_ == "all" and facts.num_classes > 0
        wanted: int | Literal["all"] = "all" if every else self._class_index(facts)
        if every and len(images) * facts.num_classes > MAX_CLASS_PASSES:
            most = MAX_CLASS_PASSES // facts.num_classes
            raise Unfit("image", "body", f"takes at most {most} with class=all, got {len(images)}")
        if heat_map and len(images) > 1:
            raise Unfit("image", "body", f"takes one for a heat map (Accept: image/png), got {len(images)}")
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

    def _class_index(self, facts: ModelFacts) -> int:
        try:
            return facts.class_index(self.class_)
        except ValueError as error:
            raise Unfit("class", "query", f"{error}, or all") from error

    def _calibration(self, facts: ModelFacts) -> CalibrationId | None:
        try:
            found = facts.calibration(self.calibration)
            return found.id if found else None
        except ValueError as error:
            raise Unfit("calibration", "query", str(error)) from error


def _shares(prior: str, facts: ModelFacts, every: bool) -> tuple[float, ...]:
    """Weights as shares of their sum."""
    if not every:
        raise Unfit("prior", "query", "goes with class=all alone")
    try:
        weights = [decimal(each.strip(" ")) for each in prior.split(",")]
    except ValueError as error:
        raise Unfit("prior", "query", "takes numbers separated by commas") from error
    total = sum(weights)
    if len(weights) != facts.num_classes or not (min(weights) >= 0 and 0 < total < math.inf):
        raise Unfit(
            "prior",
            "query",
            f"takes {facts.num_classes} finite weights of at least 0, one above 0, got {prior[:100]!r}",
        )
    return tuple(weight / total for weight in weights)
