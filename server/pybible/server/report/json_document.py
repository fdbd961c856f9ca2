"""json_document: a whole run as one JSON document at its end, as Ansible's `json` callback writes it."""

from __future__ import annotations

from datetime import UTC, datetime

from pybible.server.report.callbacks import CallbackSetting
from pybible.server.report.dump import dump_value
from pybible.server.report.messages import Messages
from pybible.server.results.events import CustomStats, HostResult, Message, PlayStarted, RunEvent, Status, TaskStarted
from pybible.server.results.recap import Recap
from pybible.wire.values import JsonObject

_RUN = "_run"


class JsonDocument:
    """Collects plays, tasks and results; messages go to standard error."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._terminal = setting.terminal
        self._clock = setting.clock
        self._messages = Messages(setting.terminal, verbosity=setting.verbosity)
        self._plays: list[JsonObject] = []
        self._tasks: dict[str, JsonObject] = {}
        self._stats: dict[str, JsonObject] = {}

    def __call__(self, event: RunEvent) -> None:
        """Take one event."""
        match event:
            case PlayStarted():
                named = {"id": event.play_id, "name": event.name, "duration": {"start": self._now()}}
                self._plays.append({"play": named, "tasks": []})
                self._tasks = {}
            case TaskStarted() if self._plays and event.task_id not in self._tasks:
                named = {
                    "id": event.task_id,
                    "name": event.name,
                    "path": event.path,
                    "duration": {"start": self._now()},
                }
                self._tasks[event.task_id] = {"task": named, "hosts": {}}
                self._plays[-1]["tasks"].append(self._tasks[event.task_id])
            case HostResult():
                self._result(event)
            case CustomStats():
                self._stats[event.host] = event.data
            case Message() if event.verbosity == 0:
                self._messages.show(event)
            case _:
                pass

    def recap(self, recap: Recap) -> None:
        """Write the document."""
        stats = {
            host: {
                "ok": counts.ok,
                "changed": counts.changed,
                "unreachable": counts.unreachable,
                "failures": counts.failed,
                "skipped": counts.skipped,
                "rescued": counts.rescued,
                "ignored": counts.ignored,
            }
            for host, counts in recap.hosts.items()
        }
        document = {
            "plays": self._plays,
            "stats": stats,
            "custom_stats": {host: data for host, data in self._stats.items() if host != _RUN},
            "global_custom_stats": self._stats.get(_RUN, {}),
        }
        self._terminal.line(dump_value(document, indent=4))

    def _result(self, event: HostResult) -> None:
        task = self._tasks.get(event.task_id)
        if task is None:
            return
        result = {**event.result, "action": event.action}
        if event.status is Status.FAILED:
            result["failed"] = True
        task["hosts"][event.host] = result
        now = self._now()
        task["task"]["duration"]["end"] = now
        self._plays[-1]["play"]["duration"]["end"] = now

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat().replace("+00:00", "Z")
