"""router: from the name of an agent to its live session. The only place that assumes sessions to be in this process."""

from __future__ import annotations

from pybible.server.controller.sessions.attempts import Attempt, not_connected
from pybible.server.controller.sessions.registry import SessionRegistry


class Router:
    """Takes attempts to the sessions of their agents."""

    def __init__(self, sessions: SessionRegistry) -> None:
        self._sessions = sessions

    def is_present(self, agent: str) -> bool:
        """Whether an agent, by name or id, has a live session."""
        presence = self._sessions.find(agent)
        return presence is not None and presence.attached

    def dispatch(self, attempt: Attempt) -> None:
        """Send an attempt out. Its owner hears of its end, perhaps before this returns."""
        presence = self._sessions.find(attempt.agent)
        if presence is None:
            attempt.owner.ended(attempt, not_connected(attempt.agent))
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
