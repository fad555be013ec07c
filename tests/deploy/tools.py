"""The programs that hold our files of deployment to their formats.

Owns how they are found and run, and what happens on a machine that lacks one. Knows no law.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).parents[2]
# Set by .ci/run, which needs kubectl and the docker CLI and installs the others: a law that is skipped there would be
# no law.
REQUIRED = "REQUIRE_DEPLOY_TOOLS"
TIMEOUT_S = 120


def tool(name: str, origin: str) -> str:
    """The path of a program; without it the test is skipped, or fails where it is required."""
    beside_python = Path(sys.executable).with_name(name)
    path = str(beside_python) if beside_python.exists() else shutil.which(name)
    if path is None:
        _do_without(f"{name} is not installed: {origin}")
    return path


def compose(*arguments: str) -> tuple[str, ...]:
    """A `docker compose` command of ours; it needs no engine to read its files."""
    docker = tool("docker", "apt-get install docker-cli, or Docker's own package")
    if subprocess.run((docker, "compose", "version"), capture_output=True).returncode:
        _do_without("docker has no compose: install Docker's compose plugin")
    return (docker, "compose", *arguments)


def output(*command: str, **environment: str) -> str:
    """What a command prints; the test fails, with all it said, if the command does."""
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _do_without(reason: str) -> NoReturn:
    if os.environ.get(REQUIRED):
        pytest.fail(reason)
    pytest.skip(reason)
