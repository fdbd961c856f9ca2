"""screens: what an operator's screen, or a file that grows, says."""

from __future__ import annotations

import re
import time
from pathlib import Path


def recap(screen: str) -> dict[str, dict[str, int]]:
    """Return the counts of the last PLAY RECAP that are not 0, by host."""
    found: dict[str, dict[str, int]] = {}
    for line in screen.rpartition("PLAY RECAP")[2].splitlines():
        host, colon, counts = line.partition(" : ")
        if colon:
            pairs = re.findall(r"(\w+)=(\d+)", counts)
            found[host.strip()] = {name: int(count) for name, count in pairs if int(count)}
    return found


def wait_for_line(path: Path, text: str, *, seconds: float = 30) -> None:
    """Wait until a file holds a text; AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{path} never said {text!r}"
        time.sleep(0.05)
