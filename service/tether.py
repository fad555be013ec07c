"""Child processes that end with their parent, however it ends.

Owns the starting and stopping of children. Knows nothing of what they do.

On Linux the kernel ends them when the parent dies, kill -9 included. macOS offers no such
promise: there every way out of a `with` block stops them, but a killed parent leaves them.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from subprocess import Popen, TimeoutExpired
from typing import Any

# Runs in an interpreter of its own, because `preexec_fn` may deadlock in a process with threads.
# The parent is compared after the request, so one that died before it is noticed too. A signal
# mask would outlive exec, and a child that inherits a blocked SIGTERM could not be asked to stop.
LAUNCHER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
parent, binary, *options = sys.argv[1:]
signal.pthread_sigmask(signal.SIG_SETMASK, [])
if sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM)) != 0:
    sys.exit("the kernel refused to end this process with its parent")
if os.getppid() != int(parent):
    sys.exit("the parent of this process died before it started")
os.execv(binary, [binary, *options])
"""

Start = Callable[..., Popen[bytes]]


@contextmanager
def tether() -> Iterator[Start]:
    """Yield `start(command, **popen_options)`, to be used while the block lasts.

    `command` begins with an absolute path. A child has a session of its own, where the
    terminal's Ctrl-C does not reach it: its parent decides when to stop it.
    """
    # The kernel ends a child with the *thread* that forked it, so that thread is one of our
    # own, which lasts as long as the block does.
    with ThreadPoolExecutor(max_workers=1) as keeper:

        def start(command: Sequence[str], **options: Any) -> Popen[bytes]:
            launch = (sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), *command)
            return keeper.submit(lambda: Popen(launch, start_new_session=True, **options)).result()

        yield start


def stop(process: Popen[bytes], timeout_s: float) -> None:
    """Ask a child to end, and after `timeout_s` make it, with any children of its own."""
    stop_all((process,), timeout_s)


def stop_all(processes: Sequence[Popen[bytes]], timeout_s: float) -> None:
    """Ask children to end, each once and all before any is waited for; after `timeout_s` make them.

    A worker that is asked twice throws away what it works on.
    """
    for process in processes:
        process.terminate()
    deadline_s = time.monotonic() + timeout_s
    for process in processes:
        try:
            process.wait(max(0.1, deadline_s - time.monotonic()))
        except TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
