"""live_lines: what running tasks print, line by line, each with its host: for whoever watches a run."""

from __future__ import annotations

from pybible.server.report.terminal import Terminal
from pybible.server.report.visible import visible, visible_line
from pybible.server.results.events import HostResult, Output, RunEvent

_LINE = 4096


class LiveLines:
    """Takes the events of a run and writes whole lines; a last one without an end comes with the host's result."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._begun: dict[tuple[str, str, str], str] = {}

    def __call__(self, event: RunEvent) -> None:
        """Take one event."""
        if isinstance(event, Output):
            key = (event.task_id, event.host, event.stream)
            if event.dropped:
                self._write(event.host, self._begun.pop(key, ""))
                self._write(event.host, f"[... {event.dropped} bytes are not shown ...]")
            *lines, rest = (self._begun.get(key, "") + event.text).split("\n")
            for line in lines:
                self._write(event.host, line or " ")
            if len(rest) > _LINE:
                self._write(event.host, rest)
                rest = ""
            self._begun[key] = rest
        elif isinstance(event, HostResult):
            for key in [key for key in self._begun if key[:2] == (event.task_id, event.host)]:
                self._write(event.host, self._begun.pop(key))

    def _write(self, host: str, line: str) -> None:
        if line:
            self._terminal.line(f"{visible_line(host)} | {visible(line.rstrip())}".rstrip())
