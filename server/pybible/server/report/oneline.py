"""oneline: each host's result on one line, as Ansible's `oneline` callback shows it."""

from __future__ import annotations

from pybible.server.report.callbacks import CallbackSetting
from pybible.server.report.colours import Colour
from pybible.server.report.dump import debug_result, dump_result
from pybible.server.report.messages import Messages
from pybible.server.report.visible import visible, visible_line
from pybible.server.results.events import HostResult, Message, RunEvent, Status
from pybible.server.results.recap import Recap

_PLAIN_ACTIONS = frozenset({"command", "shell", "raw", "script"})


class OneLine:
    """Takes the events of a run in their order; only results and messages are shown."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._terminal = setting.terminal
        self._verbosity = setting.verbosity
        self._messages = Messages(setting.terminal, verbosity=setting.verbosity)

    def __call__(self, event: RunEvent) -> None:
        """Show one event."""
        if isinstance(event, Message):
            self._messages.show(event)
        elif isinstance(event, HostResult):
            self._result(event)

    def recap(self, recap: Recap) -> None:
        """Show nothing: each host has had its lines."""

    def _result(self, event: HostResult) -> None:
        host = visible_line(event.host)
        match event.status:
            case Status.OK:
                word, colour = ("CHANGED", Colour.CHANGED) if event.changed else ("SUCCESS", Colour.OK)
                line = self._output(event, word) if self._is_plain(event) else f"{host} | {word} => {self._dump(event)}"
                self._terminal.line(line, colour)
            case Status.FAILED:
                if self._is_plain(event):
                    self._terminal.line(self._output(event, "FAILED"), Colour.FAILED)
                self._terminal.line(f"{host} | FAILED! => {self._dump(event)}", Colour.FAILED)
            case Status.SKIPPED:
                self._terminal.line(f"{host} | SKIPPED", Colour.SKIPPED)
            case Status.UNREACHABLE:
                text = visible(str(event.result.get("msg", ""))).replace("\n", "\\n")
                self._terminal.line(f"{host} | UNREACHABLE!: {text}", Colour.UNREACHABLE)

    def _is_plain(self, event: HostResult) -> bool:
        return event.action in _PLAIN_ACTIONS and "ansible_job_id" not in event.result

    def _output(self, event: HostResult, word: str) -> str:
        result = event.result
        stdout, stderr = (visible(str(result.get(key, ""))).replace("\n", "\\n") for key in ("stdout", "stderr"))
        text = f"{visible_line(event.host)} | {word} | rc={result.get('rc', -1)} | (stdout) {stdout}"
        return f"{text} (stderr) {stderr}" if stderr else text

    def _dump(self, event: HostResult) -> str:
        result = event.result
        if event.action == "debug" and not event.loop:
            result = {"changed": event.changed, **debug_result(result)}
        indent = 4 if event.verbose_always and not event.loop else 0
        return dump_result(result, verbosity=self._verbosity, pretty=True, indent=indent).replace("\n", "")
