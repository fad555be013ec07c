"""What a worker answers, files aside.

Owns the results of every kind of job. Knows nothing of how they come about or are shown.
"""

from enum import StrEnum

from worker.contract.frozen import Frozen


class GenerateResult(Frozen):
    """What a generation answers; the PNGs lie under `pictures_key`, field i for image i and `sheet` for all.

    Attributes:
        seeds: The seed of each image.
        width: Of one image, in pixels.
        height: Of one image, in pixels.
        stabilised: Images made with the corrected guidance rule because the linear one was not finite.
    """

    seeds: tuple[int, ...]
    width: int
    height: int
    stabilised: tuple[int, ...] = ()


class EncodeResult(Frozen):
    """How well an image comes back from its latents, which lie under `pictures_key`, field `latents`.

    None throughout where it does not come back at all: far from what a flow knows, its inverse can overflow.

    Attributes:
        max_abs_error: Largest distance of a value from the image, both in [-1, 1].
        rms_error: The root of the mean square of the distances.
        changed_values: Values that are another of 256 levels.
    """

    max_abs_error: float | None = None
    rms_error: float | None = None
    changed_values: int | None = None


class VerifyResult(Frozen):
    """What came of recomputing a picture.

    Attributes:
        class_name: How the model calls the class that was claimed; None for no class.
        width: Of the recomputed picture, in pixels; None where there is none: it is not finite.
        height: Likewise.
        channels: Likewise; 1 grey, 3 RGB.
        max_difference: Largest difference of a value, of 255; None where the sizes or colours differ, or there is none.
        differing_values: Values that differ; None likewise.
    """

    class_name: str | None
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    max_difference: int | None = None
    differing_values: int | None = None


class ClassScore(Frozen):
    """log p(x | class), None where it is not finite, and p(class | x) under the request's prior."""

    class_index: int
    log_likelihood_nats: float | None
    posterior: float | None


class Direction(StrEnum):
    """In what way an image is unusual: its likelihood, or everything else."""

    TOO_UNLIKELY = "too_unlikely"
    TOO_LIKELY = "too_likely"
    UNUSUAL_LATENT = "unusual_latent"


class Verdict(Frozen):
    """How unusual an image is beside the images of a calibration.

    Attributes:
        anomaly_score: The higher the stranger; a scale of this calibration and view alone.
        percentile: Share of the calibration's images that are less strange, 0..100.
        p_value: Share that is at least as strange, the image itself counted: a split-conformal p-value.
        is_anomaly: Whether p_value <= alpha.
        direction: In what way, for an anomaly.
    """

    anomaly_score: float
    percentile: float
    p_value: float
    is_anomaly: bool
    direction: Direction | None = None


class ImageScore(Frozen):
    """The exact likelihood of one image; the likelihood is the sum of prior and log|det|.

    Likelihoods are None where they are not finite: a dequantised flow's scales overflow far from its own images.

    Attributes:
        log_likelihood_nats: log p(x) under the request's class.
        bits_per_dim: The same as bits per value on the scale of 256 grey levels.
        log_prior_nats: log-density of the latents.
        log_abs_det_nats: log|det| of the map to the latents.
        complexity_bits_per_dim: Length of the image's lossless encoding, in bits per value.
        verdict: How unusual it is; None without a calibration.
        patch_log_likelihood_nats: What each patch adds to the likelihood, in the order of the image; if wanted.
        patch_surprise_stds: By how many standard deviations each is less likely than is usual there; if wanted, and
            with a calibration.
        marginal_log_likelihood_nats: log of the mean over classes of p(x | class); for `all` only.
        classes: One entry per class; for `all` only.
    """

    log_likelihood_nats: float | None
    bits_per_dim: float | None
    log_prior_nats: float | None
    log_abs_det_nats: float | None
    complexity_bits_per_dim: float | None = None
    verdict: Verdict | None = None
    patch_log_likelihood_nats: tuple[float | None, ...] = ()
    patch_surprise_stds: tuple[float | None, ...] | None = None
    marginal_log_likelihood_nats: float | None = None
    classes: tuple[ClassScore, ...] = ()


class ScoreResult(Frozen):
    """What a scoring answers: a score per image, in order, and the view of the calibration that judged them."""

    scores: tuple[ImageScore, ...]
    view: str | None = None
