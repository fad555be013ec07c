"""Minutes of mixed load on a whole `tarflow serve`: what is answered, how fast, and whether memory grows.

Owns the load, the sampling of memory and the table. First a crowd of clients waits at once on the one API process;
then some make pictures, some score, some send nonsense, until the time is over.

    python -m benchmarks.soak [--seconds 300] [--crowd 500] [--json FILE]
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]

from benchmarks.contenders import free_port, program, until_answers

SAMPLE_S = 2.0
# Caches and pools fill first.
SETTLING_SHARE = 0.3
PATIENCE_S = 90.0
MAKERS, SCORERS, FOOLS = 6, 4, 2
PAUSE_S = 0.05
MIB = 2**20
NONSENSE = ("/generate?guidance=21", "/generate?class=nobody", "/generate?n=0", "/score", "/jobs")

Ask = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]


@dataclass
class Tally:
    """What the clients of one kind were answered, and after how long."""

    statuses: Counter[int] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)

    def line(self, name: str) -> str:
        """A row of the table."""
        p50, p99 = np.percentile(self.times_ms, (50, 99))
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return f"{name:<10} p50 {p50:7.0f} ms  p99 {p99:7.0f} ms  {answers}"


@dataclass
class Memory:
    """A process's resident memory over time."""

    name: str
    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def slope(self) -> tuple[float, float]:
        """MiB a minute after settling, and the standard error of that."""
        start = int(SETTLING_SHARE * len(self.mib))
        minutes, mib = np.array(self.seconds[start:]) / 60, np.array(self.mib[start:])
        (slope, _), covariance = np.polyfit(minutes, mib, 1, cov=True)
        return float(slope), float(np.sqrt(covariance[0, 0]))

    def line(self) -> str:
        """A row of the table."""
        slope, error = self.slope()
        return (
            f"{self.name:<28} {self.mib[0]:7.1f} -> {self.mib[-1]:7.1f} MiB, {slope:+.2f} +- {error:.2f} MiB a minute"
        )


async def make(http: httpx.AsyncClient, seed: int) -> httpx.Response:
    """A picture or a few."""
    query = {"class": str(seed % 10), "guidance": str(seed % 4), "n": str(1 + seed % 3), "seed": str(seed)}
    return await http.post("/generate", params=query, headers={"Prefer": "wait=60"})


async def waste(http: httpx.AsyncClient, seed: int) -> httpx.Response:
    """What is to be refused."""
    path = NONSENSE[seed % len(NONSENSE)]
    return await http.post(path, content=os.urandom(1000), headers={"Content-Type": "image/png"})


async def repeat(http: httpx.AsyncClient, ask: Ask, first_seed: int, until_s: float, tally: Tally) -> None:
    """One client: one request after the other."""
    seed = first_seed
    while time.monotonic() < until_s:
        started_s = time.monotonic()
        answer = await ask(http, seed)
        tally.times_ms.append(1e3 * (time.monotonic() - started_s))
        tally.statuses[answer.status_code] += 1
        seed += 1
        await asyncio.sleep(PAUSE_S)


async def watch(memories: dict[int, Memory], until_s: float) -> None:
    """Look at the memory of the processes until the time is over."""
    started_s = time.monotonic()
    while time.monotonic() < until_s:
        for process_id, memory in memories.items():
            memory.seconds.append(time.monotonic() - started_s)
            memory.mib.append(psutil.Process(process_id).memory_info().rss / MIB)
        await asyncio.sleep(SAMPLE_S)


async def first_picture(http: httpx.AsyncClient) -> bytes:
    """A picture, once there is a worker for it: the service is ready with one of either kind."""
    while (answer := await http.post("/generate", params={"seed": "1"})).status_code != httpx.codes.OK:
        await asyncio.sleep(SAMPLE_S)
    return answer.content


async def crowd(http: httpx.AsyncClient, clients: int) -> Tally:
    """So many clients who wait at once."""
    tally = Tally()

    async def wait(seed: int) -> None:
        started_s = time.monotonic()
        answer = await http.post("/generate", params={"seed": str(seed)}, headers={"Prefer": "wait=60"})
        tally.times_ms.append(1e3 * (time.monotonic() - started_s))
        tally.statuses[answer.status_code] += 1

    await asyncio.gather(*(wait(10**9 + index) for index in range(clients)))
    return tally


async def soak(port: int, serve_id: int, clients: int, seconds: float) -> tuple[dict[str, Tally], list[Memory]]:
    """The crowd, then the load."""
    await until_answers(port, "/readyz")
    bounds = httpx.Limits(max_connections=clients + 64)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, limits=bounds) as http:
        picture = await first_picture(http)
        tallies = {"crowd": await crowd(http, clients), "generate": Tally(), "score": Tally(), "nonsense": Tally()}

        async def score(http: httpx.AsyncClient, seed: int) -> httpx.Response:
            query = {"model": ("mnist-28", "mnist-28-density")[seed % 2], **({"class": "all"} if seed % 5 == 0 else {})}
            return await http.post("/score", params=query, content=picture, headers={"Content-Type": "image/png"})

        kinds: dict[str, tuple[Ask, int]] = {
            "generate": (make, MAKERS), "score": (score, SCORERS), "nonsense": (waste, FOOLS)
        }  # fmt: skip
        until_s = time.monotonic() + seconds
        memories = {each.pid: Memory(_title(each)) for each in _processes(serve_id)}
        load = [
            repeat(http, ask, 1_000_000 * (index + 1), until_s, tallies[name])
            for name, (ask, count) in kinds.items()
            for index in range(count)
        ]
        await asyncio.gather(watch(memories, until_s), *load)
    return tallies, list(memories.values())


def _processes(serve_id: int) -> "list[psutil.Process]":
    serve = psutil.Process(serve_id)
    return [serve, *(each for each in serve.children(recursive=True) if "worker" in each.cmdline())]


def _title(process: "psutil.Process") -> str:
    environment = process.environ()
    if "worker" not in process.cmdline():
        return "API"
    return f"{environment['TARFLOW_KIND']} {environment['TARFLOW_MODELS']}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load, print what came of it; 1 if any answer was an error of ours."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Soak the whole service.")
    parser.add_argument("--seconds", type=float, default=300.0, help="of mixed load (%(default)s)")
    parser.add_argument("--crowd", type=int, default=500, help="clients who wait at once (%(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parsed = parser.parse_args(arguments)
    port = free_port()
    environment = {**os.environ, "TARFLOW_MAX_QUEUED": str(2 * parsed.crowd + 64), "TARFLOW_METRICS_PORT": "0"}
    command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
    with program(command, environment) as process:
        tallies, memories = asyncio.run(soak(port, process.pid, parsed.crowd, parsed.seconds))
    print(f"{os.cpu_count()} cores, {parsed.crowd} clients at once, then {parsed.seconds:g} s of mixed load")
    print("\n".join([*(tally.line(name) for name, tally in tallies.items()), *(each.line() for each in memories)]))
    if parsed.json:
        figures = {"answers": {name: tally.statuses for name, tally in tallies.items()}, "memory": memories}
        parsed.json.write_text(json.dumps(figures, default=asdict, indent=2) + "\n")
    return int(any(status >= 500 for tally in tallies.values() for status in tally.statuses))


if __name__ == "__main__":
    sys.exit(main())
