"""progress: how far a task is on many hosts, live, on a terminal only. It makes room for every line that comes."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from pybible.server.report.terminal import Terminal
from pybible.server.report.visible import visible, visible_line
from pybible.server.results.events import HostResult, HostStarted, Output, RunEvent, TaskStarted

# So many hosts are many.
MANY_HOSTS = 10
# Silence after which it appears, and how often it is drawn while it is there.
_SILENCE = 0.4
_REDRAW = 0.5
# Late: running for this long, and for so many times what the others took.
_LATE_SECONDS = 5.0
_LATE_TIMES = 3.0
_NAMED = 3
# So much is shown of the last line that a task has printed.
_PRINTED = 160


class Display(Protocol):
    """Something at the bottom of the screen."""

    def draw(self, text: str, *, done: int, total: int) -> None:
        """Show it, or show it anew."""

    def clear(self) -> None:
        """Take it away."""


@dataclass(slots=True, kw_only=True)
class TaskProgress:
    """One task: who runs it since when (seconds of a clock), how long the others took.

    At most `forks` run; those handed over beyond that wait, the first comes first, as in the dispatch window.
    """

    total: int
    forks: int
    running: dict[str, float] = field(default_factory=dict)
    queued: dict[str, None] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)

    def begin(self, host: str, now: float) -> None:
        """A host's task was handed over."""
        self.queued[host] = None
        self._fill(now)

    def end(self, host: str, now: float) -> None:
        """A host has its result."""
        since = self.running.pop(host, None)
        self.queued.pop(host, None)
        self.took.append(0.0 if since is None else now - since)
        self._fill(now)

    def _fill(self, now: float) -> None:
        while self.queued and len(self.running) < self.forks:
            host = next(iter(self.queued))
            del self.queued[host]
            self.running[host] = now

    def text(self, now: float) -> str:
        """Return how many are done, running and waiting, and who is late."""
        done, running = len(self.took), len(self.running)
        waiting = max(0, self.total - done - running)
        parts = f"{done} done, {running} running, {waiting} waiting"
        late = self.late(now)
        if not late:
            return parts
        named = ", ".join(visible_line(host) for host in late[:_NAMED])
        more = f" and {len(late) - _NAMED} more" if len(late) > _NAMED else ""
        return f"{parts}, late: {named}{more} ({now - self.running[late[0]]:.0f} s)"

    def late(self, now: float) -> list[str]:
        """Return the hosts that take much longer than the others, the latest first."""
        usual = statistics.median(self.took) if self.took else 0.0
        bound = max(_LATE_SECONDS, _LATE_TIMES * usual)
        return sorted(
            (host for host, since in self.running.items() if now - since > bound), key=self.running.__getitem__
        )


class Progress:
    """Follows the events of a run. `terminal` is what everything else must be written through."""

    def __init__(
        self,
        terminal: Terminal,
        display: Display,
        *,
        forks: int,
        many: int = MANY_HOSTS,
        silence: float = _SILENCE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._display = display
        self._forks = forks
        self._many = many
        self._silence = silence
        self._clock = clock
        self._task_id = ""
        self._task: TaskProgress | None = None
        self._has_many = False
        # The last line that a running task has printed, and on which host.
        self._printed: tuple[str, str] = ("", "")
        self._shown = False
        self._timer: asyncio.TimerHandle | None = None
        self.terminal = replace(terminal, out=self._making_room(terminal.out), err=self._making_room(terminal.err))

    def __call__(self, event: RunEvent) -> None:
        """Take one event."""
        if isinstance(event, TaskStarted):
            self._task_id = event.task_id
            self._has_many = event.hosts >= self._many
            self._printed = ("", "")
            self._task = TaskProgress(total=event.hosts, forks=self._forks)
            self._later(self._silence)
        elif self._task is None or not isinstance(event, HostStarted | HostResult | Output):
            return
        elif event.task_id == self._task_id:
            self._follow(self._task, event)

    def close(self) -> None:
        """Take it away for good."""
        self._task = None
        self._hide()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _follow(self, task: TaskProgress, event: HostStarted | HostResult | Output) -> None:
        if isinstance(event, HostStarted):
            task.begin(event.host, self._now())
        elif isinstance(event, Output):
            lines = event.text.strip().splitlines()
            if lines:
                self._printed = (event.host, lines[-1][:_PRINTED])
                if self._timer is None:
                    self._later(self._silence)
        else:
            task.end(event.host, self._now())
            if event.host == self._printed[0]:
                self._printed = ("", "")

    @property
    def _is_wanted(self) -> bool:
        return self._task is not None and (self._has_many or self._printed[0] != "")

    def _now(self) -> float:
        return self._clock() if self._clock is not None else asyncio.get_running_loop().time()

    def _making_room(self, write: Callable[[str], None]) -> Callable[[str], None]:
        def written(text: str) -> None:
            self._hide()
            write(text)
            self._later(self._silence)

        return written

    def _later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._is_wanted:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._draw)

    def _draw(self) -> None:
        task, self._timer = self._task, None
        if task is None:
            return
        if self._is_wanted and (len(task.took) < task.total or task.running):
            self._shown = True
            host, line = self._printed
            printed = f", {visible_line(host)}: {visible(line)}" if host else ""
            self._display.draw(task.text(self._now()) + printed, done=len(task.took), total=task.total)
            self._later(_REDRAW)
        else:
            self._hide()

    def _hide(self) -> None:
        if self._shown:
            self._shown = False
            self._display.clear()


def rich_display() -> Display:
    """Return a bar with its text at the bottom of standard output."""
    from pybible.server.report.rich_bar import RichBar

    return RichBar()
