"""Scores as JSON: the numbers, the verdicts, and what to be wary of.

Owns the fields of an answer of `POST /score`, which `tarflow score` prints too. Knows nothing of HTTP or of how a
score is made.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from worker.contract.class_fields import class_fields
from worker.contract.facts import CalibrationFacts, ModelFacts
from worker.contract.requests import ScoreInput, ScoreRequest
from worker.contract.results import ImageScore, ScoreResult, Verdict

VERDICT_FIELDS = tuple(Verdict.model_fields)


def score_answer(request: ScoreRequest, result: ScoreResult, facts: ModelFacts | None) -> dict[str, Any]:
    """What is answered, whoever ran it; a result per image, in order."""
    answer = {
        "model": request.model,
        **class_fields(request.class_index, facts),
        "results": [
            _result(score, given, request, result.view, facts)
            for score, given in zip(result.scores, request.images, strict=True)
        ],
    }
    p_values = [score.verdict.p_value for score in result.scores if score.verdict]
    if len(p_values) > 1:
        answer["benjamini_hochberg"] = {
            "alpha": request.alpha,
            "anomalies": benjamini_hochberg(p_values, request.alpha),
        }
    return answer


def benjamini_hochberg(p_values: Sequence[float], alpha: float) -> list[int]:
    """Which of several images are anomalies, so that at most `alpha` of those named are expected to be none.

    Benjamini and Hochberg (1995); conformal p-values of one calibration allow it (Bates et al., 2023).
    """
    ranked = sorted(range(len(p_values)), key=lambda index: p_values[index])
    passing = [rank for rank, index in enumerate(ranked, 1) if p_values[index] * len(p_values) <= alpha * rank]
    return sorted(ranked[: max(passing, default=0)])


def _result(
    score: ImageScore, given: ScoreInput, request: ScoreRequest, view: str | None, facts: ModelFacts | None
) -> dict[str, Any]:
    calibration = _calibration(request, facts)
    verdict = score.verdict.model_dump(mode="json") if score.verdict else dict.fromkeys(VERDICT_FIELDS)
    return {
        "log_likelihood_nats": score.log_likelihood_nats,
        "bits_per_dim": score.bits_per_dim,
        "log_prior_nats": score.log_prior_nats,
        "log_abs_det_nats": score.log_abs_det_nats,
        "dims": facts.dims if facts else None,
        "density": facts.density if facts else None,
        "complexity_bits_per_dim": score.complexity_bits_per_dim,
        **verdict,
        "alpha": request.alpha if score.verdict else None,
        "calibration": _calibration_fields(request, view, calibration) if score.verdict else None,
        "resized_from": given.resized_from,
        "converted_from": given.converted_from,
        "warnings": [*_warnings_of_input(given), *_warnings(score, request, facts, calibration)],
        **(_patches(score) if request.patches else {}),
        **(_classes(score, facts) if score.classes else {}),
    }


def _patches(score: ImageScore) -> dict[str, Any]:
    return {
        "patch_log_likelihood_nats": score.patch_log_likelihood_nats,
        "patch_surprise_stds": score.patch_surprise_stds,
    }


def _calibration(request: ScoreRequest, facts: ModelFacts | None) -> CalibrationFacts | None:
    """The request's calibration, if it is still served."""
    there = facts.calibrations if facts else ()
    return next((each for each in there if each.id == request.calibration), None)


def _calibration_fields(
    request: ScoreRequest, view: str | None, calibration: CalibrationFacts | None
) -> dict[str, Any] | None:
    """Which calibration judged, and under which class its images were scored: none, the given one, or all."""
    if request.calibration is None:
        return None
    return {**request.calibration.model_dump(), "n": calibration.n if calibration else None, "view": view}


def _warnings_of_input(given: ScoreInput) -> Iterator[str]:
    """What was done to an image before it was scored: a verdict counts for images that were treated alike."""
    if given.resized_from:
        yield "resized from {} x {}: likelihoods and verdicts change with it".format(*given.resized_from)
    if given.converted_from:
        yield f"converted from {given.converted_from}: likelihoods and verdicts change with it"
    if given.lossy_format:
        yield f"{given.lossy_format} may have changed pixels: likelihoods and verdicts change with it"


def _warnings(
    score: ImageScore, request: ScoreRequest, facts: ModelFacts | None, calibration: CalibrationFacts | None
) -> list[str]:
    warnings = []
    if score.log_likelihood_nats is None:
        warnings.append("the log-likelihood is not finite: the image is too far from the model's own")
    if score.verdict is None:
        left_out = ", ".join(facts.calibrations_left_out) if facts else ""
        why = f" ({left_out}: left out by the workers, whose log says why)" if left_out else ""
        warnings.append(f"no calibration{why}: a likelihood alone does not say whether an image is unusual")
        return warnings
    if calibration is not None and calibration.png_lengths_differ:
        warnings.append(
            "PNGs have other lengths here than where the calibration was made: complexity and verdicts shift"
        )
    if calibration is not None and 1 / (calibration.n + 1) > request.alpha:
        warnings.append(
            f"alpha {request.alpha:g} is never reached: {calibration.n} calibration images allow no p-value under "
            f"{1 / (calibration.n + 1):.2g}"
        )
    return warnings


def _classes(score: ImageScore, facts: ModelFacts | None) -> dict[str, Any]:
    return {
        "marginal_log_likelihood_nats": score.marginal_log_likelihood_nats,
        "classes": [
            {
                **class_fields(each.class_index, facts),
                "log_likelihood_nats": each.log_likelihood_nats,
                "posterior": each.posterior,
            }
            for each in score.classes
        ],
    }
