"""A worker of known answers for the fault suite: `python -m tests.e2e.fault_worker REDIS_URL BATCH_MS`.

Owns what each seed does to it. Everything else is the real thing: the queue, the leases, the commits.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence

from redis import Redis

from worker.batch_worker import BatchWorker, Outcome
from worker.contract import PRESENCE_TTL_S, GenerateRequest, GenerateResult, Kind, workers_key
from worker.errors import JobError
from worker.process import connect
from worker.served_job import ServedJob

MODEL = "known"
POISON, HANG, ERROR = 666, 777, 888  # seeds


class KnownAnswers:
    """Takes `batch_s` for a batch, counts its runs of each job, and does what the seeds say."""

    def __init__(self, connection: Redis, batch_s: float) -> None:
        self.connection, self.batch_s = connection, batch_s

    def __call__(self, jobs: Sequence[ServedJob]) -> list[Outcome]:
        """Answer with the seeds."""
        requests = [GenerateRequest.model_validate(job.args[0]) for job in jobs]
        seeds = {request.seed for request in requests}
        self.connection.hset("runs", mapping={"last": os.getpid()})
        if POISON in seeds:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANG in seeds:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as a kernel that heeds no exception
            time.sleep(3600)
        time.sleep(self.batch_s)
        return [_outcome(request) for request in requests]


def _outcome(request: GenerateRequest) -> Outcome:
    if request.seed == ERROR:
        return JobError("as known")
    return GenerateResult(seeds=request.seeds, width=1, height=1).model_dump(mode="json")


def main() -> int:
    """Serve until told to stop."""
    url, batch_ms = sys.argv[1], int(sys.argv[2])
    connection = connect(url)
    connection.zadd(workers_key(Kind.GENERATE, MODEL), {"known": time.time() + PRESENCE_TTL_S})
    handler = KnownAnswers(connect(url), batch_ms / 1e3)
    worker = BatchWorker(connection, Kind.GENERATE, MODEL, handler, max_images=8, window_s=0)
    worker.work(logging_level="WARNING")
    return 0 if worker.was_told_to_stop else 1


if __name__ == "__main__":
    sys.exit(main())
