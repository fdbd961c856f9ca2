"""forked: a function in a child of this worker, in a process group of its own, and all that it writes."""

from __future__ import annotations

import atexit
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

from pybible.agent.modules.process import Finished, communicate

_MAX_FD = 65536


class Child:
    """A forked child, as `communicate` sees a process."""

    def __init__(self, pid: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = os.fdopen(stdout, "rb", 0)
        self.stderr: IO[bytes] | None = os.fdopen(stderr, "rb", 0)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end: the exit status, or minus the signal that killed it."""
        status = self._wait(0)
        return -1 if status is None else status

    def kill(self) -> None:
        """End it and its group."""
        if self._status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def _wait(self, options: int) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status


def run_forked(function: Callable[[], None]) -> Finished:
    """Run `function` in a child. What it raises, SystemExit too, ends the child as it would end a program."""
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    errors_reading, errors_writing = os.pipe()
    pid = os.fork()
    if not pid:
        _be_child(function, writing, errors_writing)
    os.close(writing)
    os.close(errors_writing)
    # The child does the same: whoever is first.
    with suppress(OSError):
        os.setpgid(pid, pid)
    child = Child(pid, reading, errors_reading)
    try:
        written = communicate(child, None, None)
    except BaseException:
        child.kill()
        raise
    finally:
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
    return Finished(child.wait(), b"".join(written["stdout"]), b"".join(written["stderr"]))


def _be_child(function: Callable[[], None], stdout: int, stderr: int) -> None:
    """Run the function as if this were a fresh program, and end. Nothing of the worker's may be reached any more."""
    code = 1
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        for number in (signal.SIGIO, signal.SIGTERM, signal.SIGALRM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        # The worker's own pipe among them: whoever waits for its end must not wait for this child's.
        os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MAX_FD))
        atexit._clear()
        code = _exit_code(function)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _exit_code(function: Callable[[], None]) -> int:
    gc.enable()
    try:
        function()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        sys.stderr.write(f"{ended.code}\n")
        return 1
    return 0
