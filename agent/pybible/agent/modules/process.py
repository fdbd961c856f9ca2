"""process: runs one command in a process group of its own, and hands its output on while it runs."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

# What a process left running in the background may still hold open is waited for only this long (seconds) in silence.
_QUIET = 1.0
_CHUNK = 65536

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")

Emit = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended: its exit status (minus the signal that killed it) and all it wrote."""

    rc: int
    stdout: bytes
    stderr: bytes


class Running(Protocol):
    """A process that runs, with its ends of the pipes."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None:
        """Return how it ended, None while it runs."""


def environment_for(task: Mapping[str, str], directory: str | None = None) -> dict[str, str]:
    """Return the environment of a child: this worker's, the task's above it, PWD as a shell would have it."""
    environment = {**os.environ, **task}
    if directory is not None:
        environment["PWD"] = str(Path(directory).absolute())
    return environment


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace `$NAME`, `${NAME}` (unknown ones stay) and a leading `~` or `~user`."""
    if "$" in text:
        text = _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], found[0]), text)
    return os.path.expanduser(text) if text.startswith("~") else text  # noqa: PTH111  Path would tidy the rest


def run_process(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: str | None = None,
    stdin: bytes | None = None,
    emit: Emit | None = None,
) -> Finished:
    """Run an argument list to its end. OSError when it can't be started.

    The process leads a group of its own in the worker's session: what ends the task signals all of the command, and
    nothing that an earlier one left running.
    """
    process = subprocess.Popen(
        [os.fsencode(word) for word in command],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=directory,
        env=environment,
        process_group=0,
    )
    with process:
        try:
            written = communicate(process, stdin, emit)
        except BaseException:
            process.kill()
            raise
        finally:
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None and not stream.closed:
                    stream.close()
        return Finished(process.wait(), b"".join(written["stdout"]), b"".join(written["stderr"]))


def communicate(process: Running, stdin: bytes | None, emit: Emit | None) -> dict[str, list[bytes]]:
    """Feed a process and take all that it writes until it has ended."""
    written: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    remaining = memoryview(stdin or b"")
    with selectors.DefaultSelector() as selector, _ExitWatch(process.pid, selector) as ended:
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            selector.register(_open(stream), selectors.EVENT_READ, name)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, "stdin")
        outputs = 2
        while outputs:
            ready = selector.select(_QUIET if ended.seen or not ended.watching else None)
            if not ready and (ended.seen or process.poll() is not None):
                break
            for key, _ in ready:
                if key.data == "exit":
                    ended.take()
                elif key.data == "stdin":
                    remaining = _feed(process.stdin, remaining, selector)
                elif data := os.read(key.fd, _CHUNK):
                    written[key.data].append(data)
                    if emit is not None:
                        emit(key.data, data)
                else:
                    selector.unregister(key.fileobj)
                    outputs -= 1
    return written


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:  # pragma: no cover  it was asked for as a pipe
        raise RuntimeError("the process has no output pipe")
    return stream


def _feed(stream: IO[bytes] | None, remaining: memoryview, selector: selectors.BaseSelector) -> memoryview:
    pipe = _open(stream)
    try:
        remaining = remaining[os.write(pipe.fileno(), remaining[:_CHUNK]) :] if remaining else remaining
    except BlockingIOError:
        return remaining
    except BrokenPipeError:
        remaining = memoryview(b"")
    if not remaining:
        selector.unregister(pipe)
        pipe.close()
    return remaining


class _ExitWatch:
    """Wakes the selector when the process ends. Kernels without pidfd: `watching` is False and one has to look."""

    def __init__(self, pid: int, selector: selectors.BaseSelector) -> None:
        self.seen = False
        self._selector = selector
        try:
            self._fd = os.pidfd_open(pid)
        except (OSError, AttributeError):
            self._fd = -1
        else:
            selector.register(self._fd, selectors.EVENT_READ, "exit")
        self.watching = self._fd >= 0

    def take(self) -> None:
        """Note that the process has ended."""
        self.seen = True
        self._selector.unregister(self._fd)

    def __enter__(self) -> _ExitWatch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
