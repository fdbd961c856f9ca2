"""processes: the CPU time and the memory of processes and their children, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def descendants(pids: Iterable[int]) -> list[int]:
    """Return the processes that these have started, and those that they have, without these themselves."""
    first = list(pids)
    found = list(first)
    for parent in found:
        tasks = Path(f"/proc/{parent}/task")
        if tasks.exists():
            for task in tasks.iterdir():
                found += [int(child) for child in _read(task / "children").split()]
    return found[len(first) :]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Add up the CPU time of these processes, and of their children that have ended."""
    total = 0.0
    for pid in pids:
        numbers = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        if numbers:
            # utime, stime, and those of children that have ended.
            total += sum(int(number) for number in numbers[11:15]) / _TICKS
    return total


def memory_bytes(pids: Iterable[int]) -> int:
    """Add up the memory of these processes (proportional set size: what they share counts once)."""
    total = 0
    for pid in pids:
        for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def resident_bytes(pid: int) -> int:
    """Return the memory of a process, with what it shares with others (resident set size)."""
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
