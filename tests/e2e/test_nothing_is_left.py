"""The law that `tarflow serve` leaves no process behind, however it ends."""

import signal
import sys

import pytest

from tests.e2e.conftest import Launcher, have_ended
from tests.e2e.machine import STOP_TIMEOUT_S, free_port, until

killed_parent = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with a killed parent")
ENDS = [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGKILL, marks=killed_parent)]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_nothing_is_left_when_it_ends(launcher: Launcher, tiny: str, end: signal.Signals) -> None:
    with launcher.serving("--models", tiny) as site:
        children = site.program.children()
        site.program.process.send_signal(end)
        status = site.program.process.wait(STOP_TIMEOUT_S)
    assert len(children) == len(["Redis", "generate worker", "score worker"])
    assert status == (-signal.SIGKILL if end is signal.SIGKILL else 0)
    until(lambda: have_ended(children), STOP_TIMEOUT_S)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_nothing_is_left_when_it_ends_while_it_loads(launcher: Launcher, tiny: str, end: signal.Signals) -> None:
    arguments = ("serve", "--port", str(free_port()), "--models", tiny, "--metrics-port", str(free_port()))
    with launcher.running(*arguments) as program:
        program.await_words("tarflow: loading")
        children = program.children()
        program.process.send_signal(end)
        program.process.wait(STOP_TIMEOUT_S)
    assert children
    until(lambda: have_ended(children), STOP_TIMEOUT_S)


def test_nothing_is_left_when_an_impatient_user_interrupts_twice(launcher: Launcher, tiny: str) -> None:
    with launcher.serving("--models", tiny) as site:
        children = site.program.children()
        for _ in range(3):
            site.program.process.send_signal(signal.SIGINT)
        site.program.process.wait(STOP_TIMEOUT_S)
    assert children
    until(lambda: have_ended(children), STOP_TIMEOUT_S)
