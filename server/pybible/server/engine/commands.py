"""commands: programs of the operator's that run on the control node: bounded in time and in what they print."""

from __future__ import annotations

import selectors
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# How long a command of a lookup may take, unless another limit is set.
LOOKUP_SECONDS = 600.0
OUTPUT_BYTES = 64 * 1024 * 1024
_CHUNK = 64 * 1024


class Overrun(Exception):
    """The program did not end in time, or printed too much. It was killed, and all that it had started."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended. `errors` is empty unless it was to be caught."""

    status: int
    output: bytes
    errors: bytes


def run_command(
    command: str | Sequence[str],
    *,
    directory: Path | None = None,
    seconds: float,
    catch_errors: bool = False,
    closed_input: bool = False,
) -> Finished:
    """Run a program (text: a command of the shell) for at most `seconds`; 0: as long as it likes.

    Raises Overrun, and OSError when it can't be started.
    """
    with subprocess.Popen(
        command,
        shell=isinstance(command, str),  # the operator's own command: a shell is what it is for
        cwd=directory,
        stdin=subprocess.DEVNULL if closed_input else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if catch_errors else None,
    ) as process:
        try:
            output, errors = _read(process, time.monotonic() + seconds if seconds else None, seconds)
            return Finished(process.wait(), output, errors)
        except BaseException:
            _kill(process)
            raise


def _read(process: subprocess.Popen[bytes], deadline: float | None, seconds: float) -> tuple[bytes, bytes]:
    """Return all that is printed until both streams end."""
    read: dict[object, list[bytes]] = {}
    size = 0
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ)
                read[stream] = []
        while selector.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise Overrun(f"it did not end within {seconds:g} seconds")
            for key, _events in selector.select(left):
                data = key.fileobj.read1(_CHUNK)  # type: ignore[union-attr]
                read[key.fileobj].append(data)
                size += len(data)
                if size > OUTPUT_BYTES:
                    raise Overrun(f"it printed more than {OUTPUT_BYTES // 1024 // 1024} MiB")
                if not data:
                    selector.unregister(key.fileobj)
    if deadline is not None:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Overrun(f"it did not end within {seconds:g} seconds") from None
    return b"".join(read[process.stdout]), b"".join(read.get(process.stderr, ()))


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Imported when used: it is seldom needed. A group of its own would take the terminal away from the program.
    import psutil

    try:
        running = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in running:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
