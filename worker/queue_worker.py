"""The queue's consumer: one process, one queue, one job after the other.

Owns how a worker process starts, runs and stops. Knows nothing of models.
"""

import logging
import os
import socket
import uuid

from redis import Redis
from rq import Queue, SimpleWorker
from rq.executions import Execution
from rq.job import Job

from worker.contract import Kind, queue_name
from worker.served_job import Handler, ServedJob

log = logging.getLogger(__name__)


class QueueWorker(SimpleWorker):
    """Runs jobs in this process, where the model is warm."""

    job_class = ServedJob
    # RQ would sleep for up to a minute after Redis is back, while our sign of life invites jobs.
    max_connection_wait_time = 2.0

    def __init__(self, connection: Redis, kind: Kind, model: str, handler: Handler) -> None:
        queue = Queue(queue_name(kind, model), connection=connection, serializer="json", job_class=ServedJob)
        # Unique over hosts and restarts: RQ refuses a second worker of one name.
        name = f"{kind}-{model}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        super().__init__(
            [queue], name=name, connection=connection, serializer="json", job_class=ServedJob, log_job_description=False
        )
        self.log_result_lifespan = False
        self.allowed = {str(kind): handler}

    @property
    def was_told_to_stop(self) -> bool:
        """Whether a signal ended the work; RQ ends it too, and only logs, when an error is beyond it."""
        return self._shutdown_requested_date is not None

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run one job with what this worker allows."""
        as_served(job).allowed = self.allowed
        return super().perform_job(job, queue, execution)


def as_served(job: Job) -> ServedJob:
    """The job as ours; RQ makes every job of the class it was told."""
    if not isinstance(job, ServedJob):
        raise TypeError(f"job {job.id} is a {type(job).__name__}")
    return job
