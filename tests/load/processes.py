"""processes: the CPU time and the memory of processes and their children, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU in seconds, memory in bytes (proportional set size: shared pages count once)."""

    cpu: float
    memory: int


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        tasks = Path(f"/proc/{parent}/task")
        if tasks.exists():
            for task in tasks.iterdir():
                found += [int(child) for child in _read(task / "children").split()]
    return found


def usage(pids: Iterable[int]) -> Usage:
    """Add up what these processes and their descendants used so far."""
    cpu, memory = 0.0, 0
    for pid in {child for parent in pids for child in tree(parent)}:
        numbers = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        if numbers:
            # utime, stime, and those of children that have ended.
            cpu += sum(int(number) for number in numbers[11:15]) / _TICKS
        for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
            if line.startswith("Pss:"):
                memory += int(line.split()[1]) * 1024
    return Usage(cpu, memory)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
