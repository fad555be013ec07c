"""What is told of a job while it lives: its own stream of events, and one shared stream that says where to look.

Owns the two streams, and how long they last. Knows nothing of who listens.
"""

import json
from collections.abc import Mapping
from typing import Any

from redis import Redis
from redis.client import Pipeline

from worker.contract import (
    ENDED_EVENTS_TTL_S,
    EVENTS_LENGTH,
    EVENTS_TTL_S,
    NEWS_LENGTH,
    NEWS_STREAM,
    NEWS_TTL_S,
    JobEvent,
    JobState,
    events_key,
)


def tell(
    connection: Redis | Pipeline, job_id: str, event: JobEvent, data: Mapping[str, Any], ttl_s: int = EVENTS_TTL_S
) -> None:
    """Add an event of a job; on a pipeline, in its transaction. Never of one event without the other stream."""
    key = events_key(job_id)
    connection.xadd(key, {"event": event, "data": json.dumps(data)}, maxlen=EVENTS_LENGTH, approximate=True)
    connection.expire(key, ttl_s)
    connection.xadd(NEWS_STREAM, {"job_id": job_id, "event": event}, maxlen=NEWS_LENGTH, approximate=True)
    connection.expire(NEWS_STREAM, NEWS_TTL_S)


def tell_state(connection: Redis | Pipeline, job_id: str, state: JobState) -> None:
    """Tell that a job has come into a state; the last of them is `done`, and no previews are kept for long after it."""
    event, ttl_s = (JobEvent.DONE, ENDED_EVENTS_TTL_S) if state.is_terminal else (JobEvent.STATUS, EVENTS_TTL_S)
    tell(connection, job_id, event, {"state": state}, ttl_s)
