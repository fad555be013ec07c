"""Real processes of ours: started, waited for, stopped by their id.

Owns their surroundings: tiny checkpoints, a short temporary folder, the scene of a fault. Knows no law.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from tempfile import TemporaryDirectory

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
import torch

from model import TarFlow, TarFlowConfig, save
from model.card import Card, SamplingDefaults
from service.tether import Start, stop, tether
from tests.e2e.machine import START_TIMEOUT_S, STOP_TIMEOUT_S, RedisServer, free_port, until
from tests.e2e.scene import Scene

TARFLOW = str(Path(sys.executable).with_name("tarflow"))
OUTPUT_STD = 0.02


@dataclass(frozen=True)
class Program:
    """A running command and what it has said."""

    process: Popen[bytes]
    log: Path

    def said(self) -> str:
        """All it has printed."""
        return self.log.read_text()

    def await_words(self, words: str) -> None:
        """Wait until it has said this."""

        def look() -> bool:
            assert self.process.poll() is None, self.said()
            return words in self.said()

        until(look, START_TIMEOUT_S)

    def children(self) -> "list[psutil.Process]":
        """Every process that it started, or that those started."""
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def worker(self, kind: str) -> "psutil.Process | None":
        """Its worker of a kind, if there is one at the moment."""
        for child in self.children():
            try:
                if child.environ().get("TARFLOW_KIND") == kind and "worker" in child.cmdline():
                    return child
            except psutil.Error:  # it ended while we looked
                continue
        return None


@dataclass(frozen=True)
class Site:
    """A program that answers HTTP."""

    program: Program
    http: httpx.Client

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.http.base_url.port or 0)


@dataclass(frozen=True)
class Launcher:
    """Starts `tarflow` commands that end with this process, however it ends."""

    start: Start
    folder: Path

    @contextmanager
    def running(self, *arguments: str, **settings: str) -> Iterator[Program]:
        """A `tarflow` command with settings (without their prefix), stopped at the end of the block."""
        log = self.folder / f"{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            command = (TARFLOW, *arguments)
            process = self.start(
                command, env=self.environment(**settings), cwd=self.folder, stdin=DEVNULL, stdout=output, stderr=STDOUT
            )
        try:
            yield Program(process, log)
        finally:
            stop(process, STOP_TIMEOUT_S)

    @contextmanager
    def serving(self, *options: str, **settings: str) -> Iterator[Site]:
        """`tarflow serve` with settings (without their prefix) from its first sign of readiness on."""
        port, metrics_port = str(free_port()), str(free_port())
        with (
            self.running("serve", "--port", port, "--metrics-port", metrics_port, *options, **settings) as program,
            client(int(port)) as http,
        ):
            program.await_words("tarflow: ready")
            yield Site(program, http)

    def environment(self, **settings: str) -> dict[str, str]:
        """Ours without its settings, with these instead."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TARFLOW_")}
        ours = {f"TARFLOW_{name.upper()}": value for name, value in {"device": "cpu", **settings}.items()}
        return {**kept, "OMP_NUM_THREADS": "1", "TMPDIR": str(self.folder), **ours}


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """In a folder short enough for a unix socket, gone at the end with whatever a killed process left there."""
    with TemporaryDirectory(prefix="tarflow-e2e-", dir="/tmp") as folder, tether() as start:
        yield Launcher(start, Path(folder))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a checkpoint that takes no time: 8 pixels, three classes, random weights."""
    return _checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", image_size=8, patch_size=4, blocks=2)


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a checkpoint that takes seconds for 16 pictures: 1024 patches of one pixel in each of 8 blocks."""
    return _checkpoint(tmp_path_factory.mktemp("checkpoints") / "slow", image_size=32, patch_size=1, blocks=8)


@pytest.fixture(scope="session")
def live(launcher: Launcher, tiny: str) -> Iterator[Site]:
    """One `tarflow serve` for all tests that leave it as it is."""
    with launcher.serving("--models", tiny) as site:
        yield site


@pytest.fixture
def scene(launcher: Launcher, tmp_path: Path) -> Iterator[Scene]:
    """Nothing yet but Redis."""
    server = RedisServer(launcher.start, tmp_path)
    server.start()
    with Scene.of(server, launcher.start, launcher.environment(redis_url=server.url)) as scene:
        yield scene
    server.stop()


def client(port: int) -> httpx.Client:
    """A client of what listens there, patient enough for any wait of ours."""
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=65.0)


def answers(http: httpx.Client, path: str, status: int = 200) -> bool:
    """Whether a GET has this status now; nobody listening is no answer."""
    try:
        return http.get(path).status_code == status
    except httpx.TransportError:
        return False


def have_ended(processes: "list[psutil.Process]") -> bool:
    """Whether none of these runs any more; one that only waits to be reaped does not run."""
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def _checkpoint(folder: Path, image_size: int, patch_size: int, blocks: int) -> str:
    torch.manual_seed(0)
    config = TarFlowConfig(
        image_size=image_size,
        patch_size=patch_size,
        channels=16,
        head_dim=16,
        blocks=blocks,
        layers_per_block=1,
        in_channels=1,
        num_classes=3,
        noise_std=0.1,
    )
    flow = TarFlow(config)
    with torch.no_grad():
        for block in flow.blocks:
            block.proj_out.weight.normal_(std=OUTPUT_STD)
            block.class_embed.normal_()
    save(flow, folder, Card(class_names=("cat", "dog", "owl"), sampling=SamplingDefaults(guidance=2.0)))
    return str(folder)
