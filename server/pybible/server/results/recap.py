"""recap: the PLAY RECAP. Counts of one host are added up where they arise and merged, never replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from pybible.server.results.events import HostResult, Included, RunEvent, Status
from pybible.wire.errors import ExitStatus


@dataclass(slots=True)
class HostRecap:
    """The seven counts of one host, in the order of the recap's line."""

    ok: int = 0
    changed: int = 0
    unreachable: int = 0
    failed: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0

    def merge(self, other: HostRecap) -> None:
        """Add the counts of `other`."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


COUNTS = tuple(item.name for item in fields(HostRecap))


@dataclass(slots=True)
class Recap:
    """The counts of every host that ran something."""

    hosts: dict[str, HostRecap] = field(default_factory=dict)

    def host(self, name: str) -> HostRecap:
        """Return the counts of a host, made if need be."""
        found = self.hosts.get(name)
        if found is None:
            found = self.hosts[name] = HostRecap()
        return found

    def count(self, events: Iterable[RunEvent]) -> None:
        """Count what these events say. The rules are those of ansible-core's strategy (observed with 2.19)."""
        for event in events:
            if isinstance(event, HostResult):
                if event.counted:
                    _count_result(self.host(event.host), event)
            elif isinstance(event, Included):
                for name in event.hosts:
                    self.host(name).ok += 1

    def merge(self, other: Recap | Mapping[str, HostRecap]) -> None:
        """Add the counts of `other`."""
        counts = other.hosts if isinstance(other, Recap) else other
        for name, recap in counts.items():
            self.host(name).merge(recap)

    @property
    def exit_status(self) -> ExitStatus:
        """What the counts alone say: unreachable wins over failed."""
        if any(recap.unreachable for recap in self.hosts.values()):
            return ExitStatus.HOSTS_UNREACHABLE
        if any(recap.failed for recap in self.hosts.values()):
            return ExitStatus.HOSTS_FAILED
        return ExitStatus.OK


def _count_result(recap: HostRecap, event: HostResult) -> None:
    changed = 1 if event.changed else 0
    match event.status:
        case Status.OK:
            recap.ok += 1
            recap.changed += changed
        case Status.SKIPPED:
            recap.skipped += 1
        case Status.FAILED if event.ignored:
            recap.ok += 1
            recap.ignored += 1
            recap.changed += changed
        case Status.FAILED if event.rescued:
            recap.rescued += 1
        case Status.FAILED:
            recap.failed += 1
        case Status.UNREACHABLE if event.ignored:
            recap.ok += 1
            recap.ignored += 1
        case Status.UNREACHABLE:
            recap.unreachable += 1
