"""What a worker tells Prometheus.

Owns the metrics' names, labels and buckets, in a registry of its own. Knows nothing of HTTP
routes or Redis.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

WAIT_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
BATCH_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 256, 1024, 4096)
# p-values are uniform while all is well: each step is a share of what should fall under it.
P_VALUES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
LABELS = ("model", "kind")


class WorkerMetrics:
    """The worker's metrics; `registry` is what is served."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.jobs = Counter("tarflow_jobs", "Jobs ended", (*LABELS, "outcome"), registry=registry)
        self.wait = Histogram(
            "tarflow_job_wait_seconds", "Time in the queue", LABELS, buckets=WAIT_BUCKETS_S, registry=registry
        )
        self.batch_size = Histogram(
            "tarflow_batch_size",
            "Images in a batch; of scores, forward passes",
            LABELS,
            buckets=BATCH_SIZES,
            registry=registry,
        )
        self.batch_duration = Histogram(
            "tarflow_batch_duration_seconds", "Time a batch took", LABELS, buckets=BATCH_BUCKETS_S, registry=registry
        )
        self.images = Counter("tarflow_images", "Images made or scored", LABELS, registry=registry)
        self.non_finite = Counter("tarflow_nonfinite", "Images that were NaN or infinite", LABELS, registry=registry)
        self.p_value = Histogram(
            "tarflow_score_p_value", "p-values of scored images", ("model",), buckets=P_VALUES, registry=registry
        )
        self.calibrations_left_out = Gauge(
            "tarflow_calibrations_left_out", "Calibrations that cannot be used", ("model",), registry=registry
        )
        self.model_info = Gauge(
            "tarflow_model_info", "The loaded model", ("model", "digest", "device", "dtype"), registry=registry
        )
