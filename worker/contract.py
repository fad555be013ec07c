"""The types that the service and the workers share, and the Redis names they meet at.

Owns requests, results, job states, model facts, queue and key names. Imports pydantic alone;
knows nothing of HTTP, torch or how a queue works.
"""

import hashlib
import json
import socket
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_IMAGES = 16
MAX_FILES = 64
MAX_GUIDANCE = 20.0
MAX_SEED = 2**53 - 1
MIN_TEMPERATURE = 0.01  # tiny ones are 0, or overflow, in float32
# Far beyond what any image is encoded as; beyond it a flow only overflows.
MAX_LATENT = 1e6
NO_CLASS = -1
# p-values at or under it are anomalies, where a request does not say otherwise.
DEFAULT_ALPHA = 0.01
DEFAULT_CALIBRATION = "default"
MIN_ALPHA = 1e-6
MAX_ALPHA = 0.5
# Images times classes of one request for every class: each pair is a forward pass.
MAX_CLASS_PASSES = 4096
MAX_NAMES = 20  # class names that an error message lists

# Which job has an event; one read on it serves every listener of a process.
NEWS_STREAM = "tarflow:news"
NEWS_LENGTH = 10_000
NEWS_TTL_S = 24 * 3600
EVENTS_LENGTH = 200
EVENTS_TTL_S = 3600
# After the end of a job: long enough to come back for the rest; previews are bytes too.
ENDED_EVENTS_TTL_S = 300
# Pictures that are kept: a sorted set of `job:bytes` by Unix time of expiry, and the sum of the bytes.
HELD_KEY = "tarflow:held"
HELD_BYTES_KEY = "tarflow:held_bytes"
PRESENCE_TTL_S = 15
# A running job without a renewal for so long is another worker's; each costs a job one of its attempts.
LEASE_S = 15
MAX_RETRIES = 2
# RQ's set of all queues.
QUEUES_KEY = "rq:queues"
# Fields beside RQ's in a job's hash.
IMAGES_FIELD = "images"
CANCEL_FIELD = "cancel_requested"
PROGRESS_FIELD = "progress"
PREVIEW_FIELD = "preview_wanted"
TRACE_FIELD = "traceparent"


class Kind(StrEnum):
    """What a worker does; each kind has its own queue."""

    GENERATE = "generate"
    SCORE = "score"


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether the job will never change again."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


class JobEvent(StrEnum):
    """What is told of a job: its state, how far it is, its picture so far, its end."""

    STATUS = "status"
    PROGRESS = "progress"
    PREVIEW = "preview"
    DONE = "done"


class FailureReason(StrEnum):
    """Why a job failed, as far as a client may know."""

    NON_FINITE = "non_finite"
    MODEL_CHANGED = "model_changed"
    TIMEOUT = "timeout"
    ABANDONED = "abandoned"
    INTERNAL = "internal"


class Frozen(BaseModel):
    """Immutable, strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


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
        sha256: Digest of its pixels, which lie under `input_key`, (C, H, W) uint8.
        width: In pixels.
        height: In pixels.
        channels: 1 grey, 3 RGB.
    """

    model: str
    model_digest: str
    claim: GenerateRequest
    sha256: str
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    channels: Literal[1, 3]


PictureRequest = GenerateRequest | EncodeRequest | DecodeRequest | InterpolateRequest | VerifyRequest
Request = PictureRequest | ScoreRequest


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

    Attributes:
        max_abs_error: Largest distance of a value from the image, both in [-1, 1].
        rms_error: The root of the mean square of the distances.
        changed_values: Values that are another of 256 levels.
    """

    max_abs_error: float
    rms_error: float
    changed_values: int


class VerifyResult(Frozen):
    """What came of recomputing a picture.

    Attributes:
        width: Of the recomputed picture, in pixels.
        height: Of the recomputed picture, in pixels.
        max_difference: Largest difference of a value, of 255; None where the sizes or colours differ.
        differing_values: Values that differ; None likewise.
    """

    width: int
    height: int
    max_difference: int | None
    differing_values: int | None


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


class CalibrationFacts(Frozen):
    """A calibration as a model's workers describe it.

    Attributes:
        name: Its name.
        digest: SHA-256 of its numbers.
        n: Images that p-values compare with: none is below 1 / (n + 1).
        created_at: When it was made, ISO 8601.
        data: What it was made from.
        thresholds: The anomaly score above which p <= alpha, by alpha, of each view: `none`, `given`, `all`.
        score_quantiles: Anomaly scores of the calibration's images, at every twentieth of them from least to most, of
            each view.
    """

    name: str
    digest: str
    n: int
    created_at: str
    data: str
    thresholds: dict[str, dict[str, float | None]]
    score_quantiles: dict[str, tuple[float, ...]]

    @property
    def id(self) -> CalibrationId:
        """What a request names it by."""
        return CalibrationId(name=self.name, digest=self.digest)


class ModelDefaults(Frozen):
    """What a request gets that does not say otherwise."""

    guidance: float
    denoise: bool
    attention_temperature: float


class ModelFacts(Frozen):
    """A loaded model as its workers describe it; what its card says beside is empty or None where not recorded.

    Attributes:
        architecture: [patch-channels-blocks-layers in a block].
        metrics: Figures, by name.
        measured_by: The command that measured each.
        command: The command that made the weights.
        hardware: What they were trained on.
        training_hours: On that hardware.
        intended_use: What it was made for.
        limits: What it must not be used for, and where it fails.
        notes: What else a reader must know to read the facts rightly.
    """

    name: str
    digest: str
    image_size: int
    in_channels: int
    dims: int
    class_names: tuple[str, ...]
    num_classes: int
    noise_std: float
    noise_type: str
    density: str
    architecture: str
    defaults: ModelDefaults
    trained_on: str = ""
    data_licence: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    calibrations: tuple[CalibrationFacts, ...] = ()
    calibrations_left_out: tuple[str, ...] = ()
    patch_grid: tuple[int, int] = (0, 0)
    measured_by: dict[str, str] = Field(default_factory=dict)
    command: str = ""
    hardware: str = ""
    training_hours: float | None = None
    intended_use: str = ""
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Patches in an image, and values in a patch: (T, D)."""
        rows, columns = self.patch_grid
        return rows * columns, self.dims // max(1, rows * columns)

    def class_name(self, index: int) -> str | None:
        """The name of a class; None for no class."""
        if index == NO_CLASS:
            return None
        return self.class_names[index] if self.class_names else str(index)

    def class_index(self, wanted: str | None) -> int:
        """The class that a name or a number means; -1 for None.

        Raises:
            ValueError: There is no such class; the message names those there are.
        """
        if wanted is None:
            return NO_CLASS
        if wanted in self.class_names:
            return self.class_names.index(wanted)
        if wanted.isascii() and wanted.isdecimal() and int(wanted) < self.num_classes:
            return int(wanted)
        raise ValueError(f"{wanted!r} is no class of {self.name}: {self._classes_in_words()}")

    def calibration(self, wanted: str | None) -> CalibrationFacts | None:
        """The calibration of this name; for None the default, or the only one: never one for another that was left out.

        Raises:
            ValueError: There is none of this name; the message names those there are.
        """
        named = {each.name: each for each in self.calibrations}
        if wanted is None:
            only = len(named) == 1 and not self.calibrations_left_out
            return named.get(DEFAULT_CALIBRATION) or (self.calibrations[0] if only else None)
        if wanted not in named:
            there = f"it has {', '.join(named)}" if named else "it has none"
            raise ValueError(f"{wanted!r} is no calibration of {self.name}: {there}")
        return named[wanted]

    def _classes_in_words(self) -> str:
        if not self.num_classes:
            return "it has no classes"
        named = f" or one of {', '.join(self.class_names[:MAX_NAMES])}" if self.class_names else ""
        more = f" and {len(self.class_names) - MAX_NAMES} more" if len(self.class_names) > MAX_NAMES else ""
        return f"give 0..{self.num_classes - 1}{named}{more}"


def model_name(checkpoint: str) -> str:
    """The name a checkpoint is served under: the last part of its path."""
    return checkpoint.rstrip("/").rsplit("/", 1)[-1].removesuffix(".pth")


def worker_name(kind: Kind, model: str, process_id: int) -> str:
    """How the RQ name of a worker process of this machine begins."""
    return f"{kind}-{model}-{socket.gethostname()}-{process_id}"


def queue_name(kind: Kind, model: str) -> str:
    """The RQ queue of one kind of work for one model."""
    return f"tarflow:{kind}:{model}"


def queue_key(name: str) -> str:
    """RQ's list of the jobs that wait in a queue."""
    return f"rq:queue:{name}"


def queue_parts(name: str) -> tuple[str, str]:
    """The kind and the model of a queue's name."""
    _, kind, model = name.split(":", 2)
    return kind, model


def job_key(job_id: str) -> str:
    """RQ's hash of a job."""
    return f"rq:job:{job_id}"


def results_key(job_id: str) -> str:
    """RQ's stream of what a job returned."""
    return f"rq:results:{job_id}"


def input_key(job_id: str) -> str:
    """Where the bytes that a job is about lie: pixels, one image after the other, or latents."""
    return f"tarflow:input:{job_id}"


def pictures_key(job_id: str) -> str:
    """Where the files that a job made lie: PNGs, or latents."""
    return f"tarflow:pictures:{job_id}"


def events_key(job_id: str) -> str:
    """The stream of a job's events."""
    return f"tarflow:events:{job_id}"


def facts_key(model: str) -> str:
    """Where a model's workers describe it."""
    return f"tarflow:facts:{model}"


def workers_key(kind: Kind, model: str) -> str:
    """Sorted set of the live workers' names by the Unix time they were last well."""
    return f"tarflow:workers:{kind}:{model}"


def device_key(worker: str) -> str:
    """What a live worker computes on."""
    return f"tarflow:device:{worker}"


def pace_key(kind: Kind, model: str) -> str:
    """Seconds a job took of late, on average."""
    return f"tarflow:pace:{kind}:{model}"


def done_key(kind: Kind, model: str) -> str:
    """How the names of the counts begin of images done; each ends in its minute since 1970, by Redis's clock."""
    return f"tarflow:done:{kind}:{model}:"


@lru_cache(maxsize=1024)
def canonical_digest(request: Request) -> str:
    """SHA-256 over the request, model digest included: equal requests on equal weights have equal answers."""
    canonical = json.dumps(request.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
