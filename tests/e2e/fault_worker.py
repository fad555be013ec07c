"""A worker of known answers for the fault suite: `python -m tests.e2e.fault_worker REDIS_URL BATCH_MS CLOCK_S`.

Owns what each seed does to it, and what a signal does to its clock: SIGUSR1 puts it an hour on; it is CLOCK_S off
from the beginning. Everything else is the real thing: the queue, the leases, the commits, the signs of life.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from redis import Redis

from tests.wall_clock import WallClock
from worker.batch_worker import BatchWorker
from worker.connection import connect
from worker.contract import GenerateRequest, GenerateResult, Kind, ModelDefaults, ModelFacts
from worker.errors import JobError
from worker.made import Made, Outcome
from worker.presence import presence
from worker.served_job import ServedJob

MODEL = "known"
POISON, HANG, ERROR = 666, 777, 888  # seeds
TTL_S = 300
RUNS_KEY = "known:runs"
FACTS = ModelFacts(
    name=MODEL,
    digest="d",
    image_size=1,
    in_channels=1,
    dims=1,
    class_names=(),
    num_classes=0,
    noise_std=0.1,
    noise_type="gaussian",
    density="none",
    architecture="none",
    defaults=ModelDefaults(guidance=0, denoise=False, attention_temperature=1),
)
JUMP_S = 3600


def picture(seed: int) -> bytes:
    """What is made of a seed; nobody looks at it but who asked."""
    return f"picture {seed}".encode()


class KnownAnswers:
    """Takes `batch_s` for a batch, counts its runs of each job, and does what the seeds say."""

    def __init__(self, connection: Redis, batch_s: float) -> None:
        self.connection, self.batch_s = connection, batch_s

    def __call__(self, jobs: Sequence[ServedJob], _meanwhile: Callable[[], None]) -> list[Outcome]:
        """Answer with the seeds."""
        requests = [GenerateRequest.model_validate(job.args[0]) for job in jobs]
        seeds = {request.seed for request in requests}
        for job in jobs:
            self.connection.hincrby(RUNS_KEY, job.id, 1)
        if POISON in seeds:
            os.kill(os.getpid(), signal.SIGKILL)
        if HANG in seeds:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as a kernel that heeds no exception
            time.sleep(3600)
        time.sleep(self.batch_s)
        return [self._outcome(each) for each in requests]

    def _outcome(self, request: GenerateRequest) -> Outcome:
        if request.seed == ERROR:
            return JobError("as known")
        result = GenerateResult(seeds=request.seeds, width=1, height=1).model_dump(mode="json")
        return Made(result, {"0": picture(request.seed)})


def main() -> int:
    """Serve until told to stop."""
    url, batch_ms = sys.argv[1], int(sys.argv[2])
    clock = WallClock()
    clock.jump(float(sys.argv[3]))
    signal.signal(signal.SIGUSR1, lambda _number, _frame: clock.jump(JUMP_S))
    handler = KnownAnswers(connect(url), batch_ms / 1e3)
    worker = BatchWorker(connect(url), Kind.GENERATE, MODEL, handler, max_cost=8, window_s=0)
    with clock.installed(), presence(connect(url), worker.name, Kind.GENERATE, FACTS, "cpu"):
        worker.work(logging_level="WARNING")
    return 0 if worker.was_told_to_stop else 1


if __name__ == "__main__":
    sys.exit(main())
