"""profile: how long tasks and roles took, as Ansible's `profile_tasks` and `profile_roles` callbacks show it.

A task's time is that from its heading to the next one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from pybible.server.report.callbacks import CallbackSetting
from pybible.server.report.visible import visible
from pybible.server.results.events import RunEvent, TaskStarted
from pybible.server.results.recap import Recap

_WIDTH = 79
_TIME_COLUMNS = 9


class _Stopwatch:
    """Takes the times of tasks, and says so before each."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._terminal = setting.terminal
        self._clock = setting.clock
        self._began = self._last = setting.clock()
        # Task (a task that is shown again counts on), name, seconds.
        self._order: list[str] = []
        self._names: dict[str, TaskStarted] = {}
        self._seconds: dict[str, float] = {}
        self._running = ""

    def task(self, event: TaskStarted, *, silent: bool = False) -> None:
        """End the task before, and start this one."""
        self._stop()
        if event.task_id not in self._names:
            self._order.append(event.task_id)
            self._seconds[event.task_id] = 0.0
        self._names[event.task_id] = event
        self._running = event.task_id
        self._mark(silent=silent)

    def end(self, heading: str) -> None:
        """End the last task and begin the summary."""
        self._stop()
        self._running = ""
        self._terminal.banner(heading)
        self._mark(silent=False)
        self._terminal.line("=" * _WIDTH + " ")

    def rows(self, rows: Iterable[tuple[str, float]]) -> None:
        """Write lines of a summary."""
        for name, seconds in rows:
            self._terminal.line(
                f"{visible(name) + ' ':-<{_WIDTH - _TIME_COLUMNS}}{f' {seconds:.02f}s':->{_TIME_COLUMNS}}"
            )

    def tasks(self) -> list[tuple[TaskStarted, float]]:
        """Return every task in the order of starting, with its seconds."""
        return [(self._names[task_id], self._seconds[task_id]) for task_id in self._order]

    def total_line(self, seconds: float) -> None:
        """Write the sum of a summary."""
        self._terminal.line("~" * _WIDTH + " ")
        self.rows([("total", seconds)])

    def _stop(self) -> None:
        if self._running:
            self._seconds[self._running] += self._clock() - self._last

    def _mark(self, *, silent: bool) -> None:
        now = self._clock()
        since_last, since_start = now - self._last, now - self._began
        self._last = now
        if not silent:
            moment = time.strftime("%A %d %B %Y  %H:%M:%S %z", time.localtime(now))
            text = f"{moment} ({_duration(since_last)})       {_duration(since_start)} "
            self._terminal.line(text + "*" * max(3, _WIDTH - len(text)) + " ")


class ProfileTasks:
    """Shows the time at every task, and the slowest tasks at the end."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._watch = _Stopwatch(setting)
        self._silent = setting.flag("PROFILE_TASKS_SUMMARY_ONLY")
        limit = setting.option("PROFILE_TASKS_TASK_OUTPUT_LIMIT", "20")
        self._limit = int(limit) if limit.isdecimal() else None
        self._sort = setting.option("PROFILE_TASKS_SORT_ORDER", "descending")

    def __call__(self, event: RunEvent) -> None:
        """Take one event."""
        if isinstance(event, TaskStarted):
            self._watch.task(event, silent=self._silent)

    def recap(self, recap: Recap) -> None:
        """Show the summary."""
        self._watch.end("TASKS RECAP")
        tasks = self._watch.tasks()
        if self._sort != "none":
            tasks.sort(key=lambda row: row[1], reverse=self._sort != "ascending")
        self._watch.rows((task.name, seconds) for task, seconds in tasks[: self._limit])


class ProfileRoles:
    """Shows the time at every task, and what each role took at the end; tasks of no role by their module."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._watch = _Stopwatch(setting)
        self._silent = setting.flag("PROFILE_ROLES_SUMMARY_ONLY")

    def __call__(self, event: RunEvent) -> None:
        """Take one event."""
        if isinstance(event, TaskStarted):
            self._watch.task(event, silent=self._silent)

    def recap(self, recap: Recap) -> None:
        """Show the summary."""
        self._watch.end("ROLES RECAP")
        sums: dict[str, float] = {}
        for task, seconds in self._watch.tasks():
            role, found, _name = task.name.partition(" : ")
            key = role if found and role != task.action else task.action
            sums[key] = sums.get(key, 0.0) + seconds
        self._watch.rows(sorted(sums.items(), key=lambda row: row[1], reverse=True))
        self._watch.total_line(sum(sums.values()))


def _duration(seconds: float) -> str:
    milliseconds = int(seconds * 1000)
    rest = milliseconds // 1000
    return f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}.{milliseconds % 1000:03}"
