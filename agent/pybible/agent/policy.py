"""policy: what this host refuses, whoever asks."""

from __future__ import annotations

from typing import Protocol

from pybible.wire.tasks import TaskSpec


class Policy(Protocol):
    """Asked before an attempt is accepted."""

    def refusal(self, spec: TaskSpec) -> str:
        """Return why the task is refused, empty when it is not."""


class AllowAll:
    """The host does what its controller asks."""

    def refusal(self, spec: TaskSpec) -> str:
        """Refuse nothing."""
        return ""
