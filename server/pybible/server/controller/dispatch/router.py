"""router: from the name of an agent to its live session. The only place that assumes sessions to be in this process."""

from __future__ import annotations

from dataclasses import replace

from pybible.server.controller.rights import Work
from pybible.server.controller.sessions.attempts import Attempt, Verdict, failure, not_connected
from pybible.server.controller.sessions.presence import AgentPresence
from pybible.server.controller.sessions.registry import SessionRegistry
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Become, is_brought, module_of, unusual_become


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
        elif refused := _refusal(attempt, presence):
            attempt.owner.ended(attempt, replace(failure(Reason.POLICY_DENIED, refused), refusal=refused))
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


def _refusal(attempt: Attempt, presence: AgentPresence) -> str:
    """Return why the operator may not have this run there."""
    if attempt.rights is None or attempt.spec is None:
        return ""
    spec = attempt.spec
    module = module_of(spec.module, spec.args)[0]
    become = Become(user=spec.become.user, flags=spec.become.flags, executable=spec.become.executable)
    work = Work(
        agent=presence.name,
        labels=presence.details.labels,
        module=module,
        become=spec.become.user,
        check=spec.check,
        replaces=module in presence.details.modules and is_brought(spec.module, spec.args),
        by=unusual_become(become),
    )
    return attempt.rights.refusal(work)
