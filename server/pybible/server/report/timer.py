"""timer: how long a playbook took, as Ansible's `timer` callback says it."""

from __future__ import annotations

from pybible.server.report.callbacks import CallbackSetting
from pybible.server.results.events import RunEvent
from pybible.server.results.recap import Recap


class Timer:
    """Counts from the first event on."""

    def __init__(self, setting: CallbackSetting) -> None:
        self._terminal = setting.terminal
        self._clock = setting.clock
        self._started = setting.clock()

    def __call__(self, event: RunEvent) -> None:
        """Take no notice."""

    def recap(self, recap: Recap) -> None:
        """Say how long it took."""
        seconds = int(self._clock() - self._started)
        days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
        self._terminal.banner("PLAYBOOK RECAP")
        self._terminal.line(
            f"Playbook run took {days} days, {hours} hours, {minutes} minutes, {seconds % 60} seconds\n\n"
        )
