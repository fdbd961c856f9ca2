"""callbacks: how a run can be shown, by the names that Ansible gives them. `registry` knows them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pybible.server.report.look import Look
from pybible.server.report.terminal import Terminal
from pybible.server.results.events import RunEvent
from pybible.server.results.recap import Recap

# Seconds since the epoch.
Clock = Callable[[], float]


class Callback(Protocol):
    """Takes the events of a run in their order, and at the end of each playbook the recap."""

    def __call__(self, event: RunEvent) -> None:
        """Take one event."""

    def recap(self, recap: Recap) -> None:
        """Take the recap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSetting:
    """What callbacks are made of. `options` are by the names of their environment variables."""

    terminal: Terminal
    verbosity: int = 0
    look: Look = field(default_factory=Look)
    options: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = time.time

    def option(self, name: str, default: str = "") -> str:
        """Return an option's text."""
        return self.options.get(name) or default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean option."""
        text = self.options.get(name, "")
        return text.strip().lower() in {"y", "yes", "on", "1", "true", "t"} if text.strip() else default
