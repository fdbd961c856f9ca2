"""lab: a throwaway controller and real agents, each a process of its own, through the installed command."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lab(*, agents: int, prefix: str = "lab", state: Path | None = None) -> Iterator[str]:
    """Start one, yield the address for PYBIBLE_CONTROLLER, end all its processes whatever happens."""
    with tempfile.TemporaryDirectory() as folder:
        where = state or Path(folder) / "lab"
        up = ["pybible-ctl", "lab", "up", "--agents", str(agents), "--prefix", prefix, "--state", str(where)]
        try:
            printed = subprocess.run(up, check=True, capture_output=True, text=True, timeout=120).stdout
            [line] = [line for line in printed.splitlines() if line.startswith("export PYBIBLE_CONTROLLER=")]
            yield line.partition("=")[2].strip("'\"")
        finally:
            subprocess.run(["pybible-ctl", "lab", "down", "--state", str(where)], check=True, timeout=60)
