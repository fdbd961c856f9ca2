"""minimal: results alone, as the `ansible` command shows them, and Ansible's `minimal` callback."""

from __future__ import annotations

from pybible.server.report.callbacks import CallbackSetting
from pybible.server.report.colours import Colour
from pybible.server.report.differences import render_diff
from pybible.server.report.dump import debug_result, dump_result
from pybible.server.report.messages import Messages
from pybible.server.report.visible import visible, visible_line
from pybible.server.results.events import HostResult, Message, RunEvent, Status
from pybible.server.results.recap import Recap
from pybible.wire.values import JsonObject

# Their output is what one wants to see, not the JSON around it.
_PLAIN_ACTIONS = frozenset({"command", "shell", "raw", "script"})


class Minimal:
    """Takes the events of a run in their order; only results and messages are shown."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._terminal = setting.terminal
        self._verbosity = setting.verbosity
        self._messages = Messages(setting.terminal, verbosity=setting.verbosity)

    def __call__(self, event: RunEvent) -> None:
        """Show one event."""
        if isinstance(event, HostResult):
            self._result(event)
        elif isinstance(event, Message):
            self._messages.show(event)

    def recap(self, recap: Recap) -> None:
        """Show nothing: each host has had its line."""

    def _result(self, event: HostResult) -> None:
        result, host = event.result, visible_line(event.host)
        if event.diff and result.get("diff"):
            self._terminal.line(render_diff(result["diff"], colour=self._terminal.colour))
        self._messages.of_result(result, event.error)
        match event.status:
            case Status.OK:
                word, colour = ("CHANGED", Colour.CHANGED) if event.changed else ("SUCCESS", Colour.OK)
                self._terminal.line(self._text(host, word, word, event), colour)
            case Status.FAILED:
                self._terminal.line(self._text(host, "FAILED", "FAILED!", event), Colour.FAILED)
            case Status.SKIPPED:
                self._terminal.line(f"{host} | SKIPPED", Colour.SKIPPED)
            case Status.UNREACHABLE:
                self._terminal.line(f"{host} | UNREACHABLE! => {self._dump(result)}", Colour.UNREACHABLE)

    def _text(self, host: str, plain_word: str, word: str, event: HostResult) -> str:
        result = event.result
        if event.action in _PLAIN_ACTIONS and "ansible_job_id" not in result:
            output = "".join(str(result.get(key, "")) for key in ("stdout", "stderr", "msg"))
            return f"{host} | {plain_word} | rc={result.get('rc', -1)} >>\n{visible(output)}\n"
        return f"{host} | {word} => {self._dump(debug_result(result) if event.action == 'debug' else result)}"

    def _dump(self, result: JsonObject) -> str:
        return dump_result(result, verbosity=self._verbosity, pretty=True)
