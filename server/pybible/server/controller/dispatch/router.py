"""router: from the name of an agent to its live session. The only place that assumes sessions to be in this process."""

from __future__ import annotations

from pybible.server.controller.sessions.attempts import Attempt, Verdict, not_connected
from pybible.server.controller.sessions.recovery import Recovery
from pybible.server.controller.sessions.refusal import refusal
from pybible.server.controller.sessions.registry import SessionRegistry


class Router:
    """Takes attempts to the sessions of their agents."""

    def __init__(self, sessions: SessionRegistry) -> None:
        self._sessions = sessions

    @property
    def recovery(self) -> Recovery:
        """Which runs of an earlier controller may go on."""
        return self._sessions.recovery

    def give_up(self, run_id: str) -> None:
        """A run of an earlier controller is over."""
        self._sessions.give_up(run_id)

    def is_present(self, agent: str) -> bool:
        """Whether an agent, by name or id, has a live session."""
        presence = self._sessions.find(agent)
        return presence is not None and presence.attached

    def dispatch(self, attempt: Attempt) -> None:
        """Send an attempt out. Its owner hears of its end, perhaps before this returns."""
        presence = self._sessions.find(attempt.agent)
        if presence is None and attempt.expected_until:
            presence = self._sessions.expect(attempt.agent)
        if presence is None:
            attempt.owner.ended(attempt, not_connected(attempt.agent))
        elif not presence.has_come:
            attempt.unchecked = True
            presence.dispatch(attempt)
        elif refused := refusal(attempt, presence.name, presence.details):
            attempt.owner.ended(attempt, refused)
        elif facts := presence.facts_for(attempt):
            message = facts.message(presence.age_of(facts))
            attempt.owner.ended(attempt, Verdict(content=message))
        else:
            presence.dispatch(attempt)

    def cancel(self, attempt: Attempt) -> None:
        """Ask for the end of an attempt that was dispatched."""
        presence = self._sessions.find(attempt.agent)
        if presence is not None:
            presence.cancel(attempt)

    def abandon(self, attempt: Attempt) -> None:
        """Stop an attempt that has its verdict already."""
        presence = self._sessions.find(attempt.agent)
        if presence is not None:
            presence.abandon(attempt)
