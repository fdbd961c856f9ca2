"""processes: waits for what other processes do, which nobody tells a test about."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path


async def until(condition: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Wait until `condition` holds. TimeoutError when it does not come."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  another process has no event to wait for
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Tell whether a process runs (a zombie does not)."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


async def until_dead(pid: int) -> None:
    """Wait until a process is gone."""
    await until(lambda: not alive(pid))


async def pid_written_to(path: Path) -> int:
    """Wait for a process to write its number, and a newline, to a file."""
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())  # noqa: ASYNC240  a few bytes
