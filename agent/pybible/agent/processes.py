"""processes: what runs on this host, as /proc tells it; enough to end what a task has started, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `started` in clock ticks since the boot, as `boot_ticks` counts them."""

    pid: int
    parent: int
    group: int
    session: int
    started: int


def boot_ticks() -> int:
    """Return now, on the clock on which the kernel notes when a process began."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def snapshot() -> Iterator[Process]:
    """Yield every process that can be seen."""
    for name in os.listdir("/proc"):  # noqa: PTH208  a thousand Path objects for their names alone
        if name.isdigit():
            # It may have ended since the listing.
            with suppress(OSError, ValueError, IndexError):
                # The command's name stands in parentheses, and may hold blanks and parentheses itself.
                fields = Path("/proc", name, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                if fields[0] != "Z":
                    yield Process(int(name), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def children(parent: int) -> list[Process]:
    """Return the direct children of a process."""
    return [process for process in snapshot() if process.parent == parent]


def of_task(worker: int, *, since: int) -> list[Process]:
    """Return what belongs to the task that a worker, who leads its session, has run from `since` on.

    That is what descends from the worker, and what began later in its session. What an earlier task left there on
    purpose, a server say, is older and an orphan, and is let be.
    """
    found = list(snapshot())
    family = {worker}
    # A child may be listed before its parent: again, until nobody is added.
    while more := {process.pid for process in found if process.parent in family} - family:
        family |= more
    return [
        process
        for process in found
        if process.pid != worker and (process.pid in family or (process.session == worker and process.started > since))
    ]


def send(processes: Iterable[Process], number: signal.Signals) -> list[Process]:
    """Signal each process, with its whole group if it leads one. Return those to which we may not."""
    refused = []
    for process in processes:
        try:
            if process.group == process.pid:
                os.killpg(process.pid, number)
            else:
                os.kill(process.pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            refused.append(process)
    return refused
