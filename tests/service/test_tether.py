"""Owns the laws of stopping children: each is asked once, and who does not heed it is made to end."""

import signal
import sys
from collections.abc import Iterator
from subprocess import PIPE, Popen

import pytest

from service.tether import stop_all

HEEDS = "print(flush=True); import sys; sys.stdin.read()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + HEEDS


class Child(Popen[bytes]):
    """A process with a session of its own, which remembers what it was sent."""

    def __init__(self, code: str) -> None:
        self.sent: list[int] = []
        super().__init__((sys.executable, "-c", code), stdin=PIPE, stdout=PIPE, start_new_session=True)
        assert self.stdout is not None
        self.stdout.readline()  # It runs.

    def send_signal(self, sig: int) -> None:
        """Note it, and send it."""
        self.sent.append(sig)
        super().send_signal(sig)


@pytest.fixture
def children(request: pytest.FixtureRequest) -> Iterator[list[Child]]:
    """Processes that run these programs."""
    made = [Child(code) for code in request.param]
    yield made
    for child in made:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("children", [(HEEDS,) * 3], indirect=True)
def test_each_child_is_asked_once(children: list[Child]) -> None:
    stop_all(children, timeout_s=30)
    assert [child.sent for child in children] == [[signal.SIGTERM]] * 3


@pytest.mark.parametrize("children", [(DEAF, HEEDS, DEAF)], indirect=True)
def test_a_child_that_does_not_heed_it_is_made_to_end(children: list[Child]) -> None:
    stop_all(children, timeout_s=0.1)
    assert [child.returncode for child in children] == [-signal.SIGKILL, -signal.SIGTERM, -signal.SIGKILL]
