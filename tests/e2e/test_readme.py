"""The law that what the README shows works, in its order, against the bundled models: curl and the Python client."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from model.checkpoint import BUNDLED
from tests.e2e.conftest import Launcher, Site

README = Path(__file__).parents[2] / "README.md"
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
WRITTEN_PICTURE = re.compile(r"-o (\S+\.png)")
# An answer other than a success is then an exit status, and the first command that has one ends the block.
STRICT = 'curl() { command curl --fail --silent --show-error --max-time 90 "$@"; }\nset -euxo pipefail\n'
BLOCK_TIMEOUT_S = 300

BLOCKS = [block for block in SHELL_BLOCK.findall(README.read_text()) if "curl" in block]

(CLIENT,) = (block for block in PYTHON_BLOCK.findall(README.read_text()) if "service.client" in block)

pytestmark = pytest.mark.skipif(
    not (BUNDLED / "mnist-28").is_dir(), reason="the README speaks of the bundled checkpoint mnist-28, absent here"
)


@pytest.fixture(scope="module")
def bundled(launcher: Launcher) -> Iterator[Site]:
    """`tarflow serve` as the README starts it, on a port of its own."""
    with launcher.serving() as site:
        yield site


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader is: later commands use the files of earlier ones."""
    return tmp_path_factory.mktemp("reader")


def test_it_shows_how_to_ask_with_curl() -> None:
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_its_commands_work(bundled: Site, folder: Path, block: str) -> None:
    commands = block.replace("localhost:8000", f"localhost:{bundled.port}")
    done = subprocess.run(
        ["bash", "-c", STRICT + commands], cwd=folder, capture_output=True, text=True, timeout=BLOCK_TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in WRITTEN_PICTURE.findall(block):
        with Image.open(folder / name) as picture:
            picture.load()


def test_its_client_works(bundled: Site) -> None:
    program = CLIENT.replace("127.0.0.1:8000", f"127.0.0.1:{bundled.port}")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=README.parent,
        capture_output=True,
        text=True,
        timeout=BLOCK_TIMEOUT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("done")
