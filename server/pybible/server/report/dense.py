"""dense: one line a task with the hosts that have finished it, after Ansible's `dense` callback.

On a terminal the line of a task that changed nothing gives way to the next one. Elsewhere such a task has no line.
"""

from __future__ import annotations

from pybible.server.report.callbacks import CallbackSetting
from pybible.server.report.colours import Colour, paint
from pybible.server.report.messages import Messages
from pybible.server.report.visible import visible, visible_line
from pybible.server.results.events import (
    HostResult,
    Message,
    NoHostsMatched,
    PlayStarted,
    RunEvent,
    Status,
    TaskKind,
    TaskStarted,
)
from pybible.server.results.recap import Recap

_CLEAR_LINE = "\r\033[2K"


class Dense:
    """Takes the events of a run in their order."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._terminal = setting.terminal
        self._messages = Messages(setting.terminal, verbosity=setting.verbosity)
        self._plays = self._tasks = self._handlers = 0
        self._line = ""
        self._kept = False
        self._failures: list[str] = []

    def __call__(self, event: RunEvent) -> None:
        """Show one event."""
        match event:
            case PlayStarted():
                self._finish()
                self._plays += 1
                self._tasks = self._handlers = 0
                self._terminal.line(f"PLAY {self._plays}: {visible(event.name).strip().upper()}")
            case NoHostsMatched():
                self._terminal.line("skipping: no hosts matched", Colour.SKIPPED)
            case TaskStarted():
                self._finish()
                self._start(event)
            case HostResult():
                self._result(event)
            case Message():
                self._finish()
                self._messages.show(event)
            case _:
                pass

    def recap(self, recap: Recap) -> None:
        """Finish the last line, and count what is not ok."""
        self._finish()
        for host, counts in sorted(recap.hosts.items()):
            if counts.failed or counts.unreachable:
                text = f"{visible_line(host)}: ok={counts.ok} changed={counts.changed} failed={counts.failed} "
                self._terminal.line(f"{text}unreachable={counts.unreachable}", Colour.FAILED)

    def _start(self, event: TaskStarted) -> None:
        if event.kind is TaskKind.HANDLER:
            self._handlers += 1
            self._line = f"handler {self._handlers}: {visible(event.name)}:"
        else:
            self._tasks += 1
            self._line = f"task {self._tasks}: {visible(event.name)}:"

    def _result(self, event: HostResult) -> None:
        host = visible_line(event.label or event.host)
        match event.status:
            case Status.OK:
                colour = Colour.CHANGED if event.changed else Colour.OK
            case Status.SKIPPED:
                colour = Colour.SKIPPED
            case Status.FAILED:
                colour = Colour.IGNORED if event.ignored else Colour.FAILED
            case Status.UNREACHABLE:
                colour = Colour.UNREACHABLE
        self._kept |= event.changed or event.status in (Status.FAILED, Status.UNREACHABLE)
        if event.status in (Status.FAILED, Status.UNREACHABLE):
            word = "unreachable" if event.status is Status.UNREACHABLE else "failed"
            host = host if self._terminal.colour else f"{host}({word})"
            text = visible(str(event.result.get("msg", ""))).strip().partition("\n")[0]
            self._failures.append(f"  {visible_line(event.host)}: {text}")
        self._line += " " + paint(host, colour, enabled=self._terminal.colour)
        if self._terminal.colour:
            self._terminal.out(f"{_CLEAR_LINE}{self._line}")

    def _finish(self) -> None:
        if not self._line:
            return
        if self._terminal.colour:
            self._terminal.out("\n" if self._kept else _CLEAR_LINE)
        elif self._kept:
            self._terminal.line(self._line)
        for failure in self._failures:
            self._terminal.line(failure, Colour.FAILED)
        self._line, self._kept, self._failures = "", False, []
