"""The live service, and a real Prometheus that scrapes it under our rules.

Owns their surroundings. Knows no law.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, STDOUT
from typing import Any

import httpx
import pytest
import yaml

from service.tether import stop
from tests.deploy.tools import REPOSITORY, tool
from tests.e2e.conftest import Launcher, Site, answers, client, launcher, tiny
from tests.e2e.machine import free_port, until

# Fixtures of the end-to-end tests that ours are made of.
__all__ = ["launcher", "tiny"]

INTERVAL = "1s"
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Watched:
    """The service, where its processes tell their metrics by job, and the Prometheus that reads them."""

    site: Site
    targets: dict[str, list[str]]
    prometheus: httpx.Client

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The series that a query has now."""
        answer = self.prometheus.get("/api/v1/query", params={"query": query})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"]["result"])


@pytest.fixture(scope="session")
def watched(launcher: Launcher, tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A service that was asked for a picture and a score."""
    program = tool("prometheus", "apt-get install prometheus")
    port, metrics_port = free_port(), free_port()
    targets = {
        "tarflow-api": [f"127.0.0.1:{port}"],
        "tarflow-worker": [f"127.0.0.1:{metrics_port}", f"127.0.0.1:{metrics_port + 1}"],
    }
    options = ("--models", tiny, "--port", str(port), "--metrics-port", str(metrics_port))
    with (
        launcher.running("serve", *options) as served,
        client(port) as http,
        _prometheus(launcher, program, tmp_path_factory.mktemp("prometheus"), targets) as prometheus,
    ):
        served.await_words("tarflow: ready")
        picture = http.post("/generate", params={"class": "owl"})
        score = http.post("/score", content=picture.content, headers={"Content-Type": "image/png"})
        assert (picture.status_code, score.status_code) == (200, 200)
        yield Watched(Site(served, http), targets, prometheus)


@contextmanager
def _prometheus(
    launcher: Launcher, program: str, folder: Path, targets: dict[str, list[str]]
) -> Iterator[httpx.Client]:  # fmt: skip
    """Our own configuration, but for where the targets are and how often they are asked."""
    configuration = yaml.safe_load((REPOSITORY / "monitoring" / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
    configuration["rule_files"] = [str(REPOSITORY / "monitoring" / "rules.yml")]
    for job in configuration["scrape_configs"]:
        job.pop("dns_sd_configs")
        job["static_configs"] = [{"targets": targets[job["job_name"]]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    command = (
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with (folder / "log").open("wb") as log:
        process = launcher.start(command, cwd=folder, stdin=DEVNULL, stdout=log, stderr=STDOUT)
    try:
        with client(port) as http:
            until(lambda: answers(http, "/-/ready"))
            yield http
    finally:
        stop(process, STOP_TIMEOUT_S)
