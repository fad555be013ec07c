"""What the queue costs: our service beside one job per request on RQ's own worker, and beside LitServe.

Owns the load, the clock and the table. Every service has an engine of known time, so that whatever else takes
time is the service's; clients, Redis and services share the machine's cores.

    python -m benchmarks.queue [--clients 1 8 64] [--seconds 5] [--json FILE]      # needs: pip install litserve
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from redis import Redis

from benchmarks.contenders import MAX_BATCH, Ask, litserve, ours, simple_worker
from service.embedded_redis import embedded_redis

SERVICES = {"ours": ours, "SimpleWorker": simple_worker, "LitServe": litserve}
WARM_UP_S = 1.0
COLUMNS = "service       batch ms  clients  requests/s   p50 ms   p95 ms   p99 ms"


@dataclass(frozen=True)
class Load:
    """What one service did under so many clients, each with one request at a time."""

    service: str
    batch_ms: float
    clients: int
    requests_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    def line(self) -> str:
        """The load as a row of the table."""
        return (
            f"{self.service:<12}  {self.batch_ms:>8g}  {self.clients:>7}  {self.requests_per_s:>10.1f}"
            f"  {self.p50_ms:>7.1f}  {self.p95_ms:>7.1f}  {self.p99_ms:>7.1f}"
        )


async def client(ask: Ask, first_seed: int, from_s: float, to_s: float) -> list[float]:
    """Ask one request after the other until `to_s`; the milliseconds of those that ended after `from_s`."""
    times_ms, seed, now_s = [], first_seed, 0.0
    while now_s < to_s:
        started_s = time.perf_counter()
        await ask(seed)
        now_s = time.perf_counter()
        if from_s <= now_s < to_s:
            times_ms.append((now_s - started_s) * 1e3)
        seed += 1
    return times_ms


async def measure(name: str, redis_url: str, batch_ms: float, clients: int, seconds: float) -> Load:
    """Keep `clients` requests in flight for `seconds`, after a second to warm up."""
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
    async with SERVICES[name](redis_url, batch_ms) as connect:
        from_s = time.perf_counter() + WARM_UP_S
        every = [client(connect(), 1 + index * 1_000_000, from_s, from_s + seconds) for index in range(clients)]
        times_ms = [each for those in await asyncio.gather(*every) for each in those]
    cuts = statistics.quantiles(times_ms, n=100)
    return Load(name, batch_ms, clients, len(times_ms) / seconds, cuts[49], cuts[94], cuts[98])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every service, batch time and number of clients, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description="Time the queue.")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64], help="requests in flight")
    parser.add_argument("--batch-ms", type=float, nargs="+", default=[0.0, 20.0], help="time of a batch")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load (%(default)s)")
    parser.add_argument("--services", nargs="+", choices=SERVICES, default=list(SERVICES), help="whom to measure")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    print(f"{os.cpu_count()} cores, batches of up to {MAX_BATCH}\n{COLUMNS}")
    loads = []
    with embedded_redis() as url:
        for batch_ms in parsed.batch_ms:
            for clients in parsed.clients:
                for name in parsed.services:
                    loads.append(asyncio.run(measure(name, url, batch_ms, clients, parsed.seconds)))
                    print(loads[-1].line(), flush=True)
    if parsed.json:
        parsed.json.write_text(json.dumps([asdict(load) for load in loads], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
