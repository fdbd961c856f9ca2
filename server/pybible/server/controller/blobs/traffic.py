"""traffic: how much content went out to each agent, since the controller began."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Sent:
    """What one agent got: whole or partial contents, and their bytes."""

    contents: int = 0
    bytes: int = 0


class Traffic:
    """Counts by the agent's id."""

    def __init__(self) -> None:
        self._sent: dict[str, Sent] = {}

    def count(self, agent_id: str) -> Sent:
        """Return the counters of an agent, to add to."""
        return self._sent.setdefault(agent_id, Sent())

    def total(self) -> Sent:
        """Return what all agents got."""
        sent = self._sent.values()
        return Sent(sum(each.contents for each in sent), sum(each.bytes for each in sent))

    def of(self, agent_id: str) -> Sent:
        """Return what an agent got."""
        return self._sent.get(agent_id, Sent())
