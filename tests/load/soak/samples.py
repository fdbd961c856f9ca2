"""samples: what the processes are at one moment: memory, files, threads, and the tasks of the controller's loop."""

from __future__ import annotations

import asyncio
import csv
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pybible.server.controller.config import Address
from tests.support.http import got

_FIGURES = ("RSS", "files", "threads")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_METRICS = {
    "pybible_event_loop_tasks": "controller tasks",
    "pybible_store_bytes": "store bytes",
    "pybible_removed_runs_total": "removed runs",
}


class Samples:
    """Figures by name, each with its moments; written to `file` as CSV as they come.

    `pids`: who is looked at, asked anew each time; 0: nobody now.
    """

    def __init__(self, pids: Mapping[str, Callable[[], int]], metrics: Address, *, file: Path) -> None:
        self._pids = pids
        self._metrics = metrics
        self._file = file
        self.rows: list[dict[str, float]] = []

    async def take(self, every: float) -> None:
        """Look every so many seconds, until cancelled."""
        began = time.monotonic()
        names = [f"{name} {what}" for name in self._pids for what in _FIGURES]
        with self._file.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["seconds", *names, *_METRICS.values()])
            writer.writeheader()
            while True:
                row = {"seconds": time.monotonic() - began}
                for name, pid in self._pids.items():
                    with suppress(OSError):
                        row.update({f"{name} {what}": value for what, value in figures(pid()).items()})
                with suppress(OSError, TimeoutError):
                    row.update(await self._scraped())
                self.rows.append(row)
                writer.writerow(row)
                file.flush()
                await asyncio.sleep(every)

    def series(self, name: str, *, since: float) -> tuple[list[float], list[float]]:
        """Return moments and values of a figure from a moment on."""
        rows = [row for row in self.rows if row["seconds"] >= since and name in row]
        return [row["seconds"] for row in rows], [row[name] for row in rows]

    def names(self) -> list[str]:
        """Return every figure's name."""
        return list(dict.fromkeys(name for row in self.rows for name in row if name != "seconds"))

    async def _scraped(self) -> dict[str, float]:
        _, _, text = await got(self._metrics, "/metrics")
        return {
            _METRICS[sample.name]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in _METRICS
        }


def figures(pid: int) -> dict[str, float]:
    """Return a process's figures; OSError when there is none."""
    here = Path(f"/proc/{pid}")
    resident = int((here / "statm").read_text().split()[1]) * _PAGE
    files, threads = (len(list((here / name).iterdir())) for name in ("fd", "task"))
    return dict(zip(_FIGURES, (resident, files, threads), strict=True))
