"""The Redis names at which the service and the workers meet, and how long what lies there lives.

Owns keys, fields and their times. Knows nothing of what lies under them.
"""

import socket

from worker.contract.job import Kind

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
PASSES_FIELD = "passes"
CANCEL_FIELD = "cancel_requested"
PROGRESS_FIELD = "progress"
PREVIEW_FIELD = "preview_wanted"
TRACE_FIELD = "traceparent"
DIGEST_FIELD = "digest"
# What a job costs its worker, for scripts in Redis: the forward passes of a scoring, the images of anything else.
COST = f"""
local function cost(job)
  local passes, images = unpack(redis.call('HMGET', job, '{PASSES_FIELD}', '{IMAGES_FIELD}'))
  return tonumber(passes or images or 1)
end
"""


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


def members_key(job_id: str) -> str:
    """Who wants a job that has not ended."""
    return f"tarflow:members:{job_id}"


def pictures_key(job_id: str) -> str:
    """Where the files that a job made lie: PNGs, or latents."""
    return f"tarflow:pictures:{job_id}"


def events_key(job_id: str) -> str:
    """The stream of a job's events."""
    return f"tarflow:events:{job_id}"


def facts_key(model: str) -> str:
    """Where a model's workers describe it."""
    return f"tarflow:facts:{model}"


def calibrations_key(model: str) -> str:
    """Where the workers of a model's scores tell of its calibrations; the others do not know them."""
    return f"tarflow:calibrations:{model}"


def workers_key(kind: Kind, model: str) -> str:
    """Sorted set of the live workers' names by the Unix time they were last well."""
    return f"tarflow:workers:{kind}:{model}"


def device_key(worker: str) -> str:
    """What a live worker computes on."""
    return f"tarflow:device:{worker}"


def pace_key(kind: Kind, model: str) -> str:
    """Seconds that an image made, or a forward pass of a scoring, took of late, on average."""
    return f"tarflow:pace:{kind}:{model}"


def done_key(kind: Kind, model: str) -> str:
    """How the names of the counts begin of images done; each ends in its minute since 1970, by Redis's clock."""
    return f"tarflow:done:{kind}:{model}:"
