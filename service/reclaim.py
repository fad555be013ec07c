"""The jobs of a worker that was seen to die, set free before its leases run out.

Owns the ending of leases. Knows nothing of why a worker died.
"""

import logging
import re

from redis import Redis
from redis.exceptions import RedisError
from rq.utils import as_text

from worker.contract import Kind, queue_name, worker_name

log = logging.getLogger(__name__)


def end_leases(connection: Redis, kind: Kind, model: str, process_id: int) -> None:
    """Let the next worker, or any other, take what this process of this machine held.

    Call only when the process is known to be dead.
    """
    name = re.sub(r"([*?\[\]\\])", r"\\\1", worker_name(kind, model, process_id))
    registry = f"rq:wip:{queue_name(kind, model)}"
    try:
        for key in connection.scan_iter(f"rq:worker:{name}-*:executions"):
            for execution in connection.smembers(as_text(key)):
                connection.zadd(registry, {as_text(execution): 1}, xx=True)
    except RedisError as error:  # The leases will run out by themselves.
        log.warning("the leases of worker %d were not ended: %s", process_id, error)
