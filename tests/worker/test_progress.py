"""Laws of what `generate` says of its progress: exact on a terminal, in plain lines elsewhere, and little of it."""

import os
import re
import termios
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from tests.worker.conftest import CheckpointMaker, overflow
from worker.__main__ import main

BLOCKS = 3
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def model(make_checkpoint: CheckpointMaker) -> str:
    """The path of a tiny checkpoint of several blocks."""
    return str(make_checkpoint(blocks=BLOCKS))


@pytest.fixture
def on_a_terminal() -> Iterator[Callable[[Callable[[], int]], str]]:
    """What a call shows on a terminal that is its stderr."""
    ours, its = os.openpty()
    termios.tcsetwinsize(its, (24, 80))

    def shown(call: Callable[[], int]) -> str:
        with open(its, "w", closefd=False) as terminal, redirect_stderr(terminal):
            call()
        os.close(its)
        said = b""
        try:
            while chunk := os.read(ours, 4096):
                said += chunk
        except OSError:  # What Linux says at the end of a terminal.
            pass
        return said.decode()

    yield shown
    os.close(ours)


def generate(model: str, out: Path, *options: str) -> int:
    """`tarflow generate`."""
    return main(["generate", "--model", model, "--out", str(out), "--device", "cpu", *options])


def test_a_terminal_shows_every_block_of_all(
    model: str, tmp_path: Path, on_a_terminal: Callable[[Callable[[], int]], str]
) -> None:
    said = on_a_terminal(lambda: generate(model, tmp_path / "out.png"))
    counted = re.findall(r"(\d+)/(\d+) \[", said)
    assert list(dict.fromkeys(counted)) == [(str(done), str(BLOCKS)) for done in range(1, BLOCKS + 1)]


def test_a_terminal_is_left_at_the_start_of_a_line_when_the_picture_fails(
    make_checkpoint: CheckpointMaker, tmp_path: Path, on_a_terminal: Callable[[Callable[[], int]], str]
) -> None:
    model = str(make_checkpoint(overflow))
    said = on_a_terminal(lambda: generate(model, tmp_path / "out.png", "--class", "cat"))
    assert re.search(r"\]\r\ntarflow generate: non_finite", said)


def test_elsewhere_a_long_picture_says_in_plain_lines_how_far_it_is(
    model: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.progress.LINE_INTERVAL_S", 0.0)
    assert generate(model, tmp_path / "out.png") == 0
    lines = [f"generate: {done} of {BLOCKS} blocks" for done in range(1, BLOCKS + 1)]
    assert capsys.readouterr().err.splitlines() == lines


def test_elsewhere_a_picture_that_is_made_soon_says_nothing(model: str, tmp_path: Path, capsys: Captured) -> None:
    assert generate(model, tmp_path / "out.png") == 0
    assert capsys.readouterr().err == ""
