"""json_lines: a run as JSON, one event a line, the recap last; for programs."""

from __future__ import annotations

from dataclasses import asdict

from pybible.server.report.terminal import Terminal
from pybible.server.results.events import RunEvent, encode_event
from pybible.server.results.recap import Recap
from pybible.wire.values import dumps


class JsonLines:
    """Takes the events of a run in their order and writes each as a line."""

    def __init__(self, terminal: Terminal) -> None:
        self._write = terminal.out

    def __call__(self, event: RunEvent) -> None:
        """Write one event."""
        self._write(encode_event(event).decode("ascii") + "\n")

    def recap(self, recap: Recap) -> None:
        """Write the recap: `{"type": "recap", "hosts": {NAME: {"ok": N, ...}}}`."""
        hosts = {name: asdict(counts) for name, counts in sorted(recap.hosts.items())}
        self._write(dumps({"type": "recap", "hosts": hosts}).decode("ascii") + "\n")
