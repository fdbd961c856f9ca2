"""processes: pybible's own daemons as processes of this machine: started, waited for, ended."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pybible.wire.errors import ConfigError, PybibleError

# The longest path of a socket is 107 bytes.
LONGEST_SOCKET = 100
_LOG_LINES = 5


def command_path(name: str) -> str:
    """Return the path of a command of pybible's: beside this interpreter, else on PATH. ConfigError without it."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ConfigError(f"the command {name} is not installed")
    return found


class Signs:
    """A socket on which daemons say how they are, as they would to systemd."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._name = f"pybible-{os.getpid()}-{os.urandom(8).hex()}"
        self._socket.bind("\0" + self._name)

    @property
    def environment(self) -> dict[str, str]:
        """What a daemon must be started with."""
        return {"NOTIFY_SOCKET": f"@{self._name}"}

    def fileno(self) -> int:
        """Return the socket's descriptor, to wait on."""
        return self._socket.fileno()

    def read(self) -> list[str]:
        """Return what came: `READY=1`, `STATUS=...`."""
        found: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += self._socket.recv(4096).decode("utf-8", "replace").splitlines()
        return found

    def close(self) -> None:
        """Close it."""
        self._socket.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A process by its id and the moment of its start (clock ticks since boot), so that an id given anew is told."""

    name: str
    pid: int
    started: int

    @property
    def running(self) -> bool:
        """Whether it is still there."""
        return started_at(self.pid) == self.started


def started_at(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; -1 when there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return -1
    # The name in parentheses may hold spaces and parentheses.
    words = text.rpartition(")")[2].split()
    return -1 if words[0] == "Z" else int(words[19])


def start_daemon(
    name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str], told: str = ""
) -> tuple[Daemon, subprocess.Popen[bytes]]:
    """Start a process that outlives this one, its output in `log`. `told`: the line on its standard input."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if told else subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    if process.stdin is not None:
        # One that has ended already is waited for elsewhere.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(told.encode() + b"\n")
    return Daemon(name=name, pid=process.pid, started=started_at(process.pid)), process


def wait_for_signs(
    signs: Signs, wanted: str, *, count: int, processes: Mapping[str, subprocess.Popen[bytes]], seconds: float
) -> None:
    """Wait until `count` signs that begin with `wanted` came. PybibleError when a process ends first, or none comes."""
    descriptors = {os.pidfd_open(process.pid): name for name, process in processes.items()}
    deadline = time.monotonic() + seconds
    poll = select.poll()
    for descriptor in (signs.fileno(), *descriptors):
        poll.register(descriptor, select.POLLIN)
    try:
        while count > 0:
            left = deadline - time.monotonic()
            ready = [descriptor for descriptor, _event in poll.poll(max(0, left) * 1000)]
            count -= sum(1 for sign in signs.read() if sign.startswith(wanted))
            ended = [descriptors[descriptor] for descriptor in ready if descriptor in descriptors]
            if ended and count > 0:
                raise PybibleError(f"{ended[0]} ended with status {processes[ended[0]].wait()}")
            if left <= 0 and count > 0:
                raise PybibleError(f"not ready within {seconds:g} s: {count} of {', '.join(processes)}")
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def end_daemons(daemons: Sequence[Daemon], *, seconds: float) -> None:
    """Ask them to end (SIGTERM), after `seconds` kill what is left, and wait for that too."""
    _send(daemons, signal.SIGTERM)
    _wait(daemons, seconds)
    _send(daemons, signal.SIGKILL)
    _wait(daemons, seconds)


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-_LOG_LINES:])


def _send(daemons: Sequence[Daemon], number: signal.Signals) -> None:
    for daemon in daemons:
        if daemon.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(daemon.pid, number)


def _wait(daemons: Sequence[Daemon], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for daemon in daemons:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(daemon.pid)
            try:
                if daemon.running:
                    select.select([descriptor], [], [], max(0, deadline - time.monotonic()))
            finally:
                os.close(descriptor)
