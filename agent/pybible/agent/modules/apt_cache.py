"""apt_cache: apt's lists of packages: how old they are, and their update."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import call, need

if TYPE_CHECKING:
    from pybible.agent.modules.apt import Args
    from pybible.agent.modules.apt_command import AptGet

_STAMP = Path("/var/lib/apt/periodic/update-success-stamp")


@dataclass(frozen=True, slots=True)
class Cache:
    """When the lists were last updated (seconds since 1970), and whether this task did it."""

    time: int
    updated: bool


def last_update(context: Context) -> int:
    """Return when the lists were last updated, 0 when never."""
    for path in (_STAMP, _lists(context)):
        if path.exists():
            return int(path.stat().st_mtime)
    return 0


def _lists(context: Context) -> Path:
    done = call([need("apt-config", context), "shell", "lists", "Dir::State::lists/d"], context)
    found = done.stdout.partition("'")[2].rpartition("'")[0]
    return Path(found or "/var/lib/apt/lists")


def refresh(args: Args, context: Context, apt: AptGet) -> Cache:
    """Update the lists where the task asks for it and they are old enough."""
    last = last_update(context)
    if not args.update_cache and not args.cache_valid_time:
        return Cache(last, False)
    if args.cache_valid_time and time.time() < last + args.cache_valid_time:
        return Cache(last, False)
    if context.check:
        return Cache(last, True)
    error = ""
    for attempt in range(max(args.update_cache_retries, 1)):
        if attempt:
            time.sleep(min(2 ** (attempt - 1), args.update_cache_retry_max_delay))
        done = apt.call([apt.program, "-q", "update"])
        if done.rc == 0 and not _failures(done.stderr):
            now = last_update(context)
            return Cache(now, now != last)
        error = _failures(done.stderr) or done.stderr.strip()
    raise ModuleError(f"Failed to update apt cache after {args.update_cache_retries} retries: {error}")


def _failures(stderr: str) -> str:
    """Return the errors among apt-get's words: an update that got only half says so in warnings."""
    lines = [line for line in stderr.splitlines() if line.startswith(("E:", "W: Failed to fetch", "W: Some index"))]
    return ", ".join(lines)
