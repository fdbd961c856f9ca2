"""test_session_presence: an agent's timer: a controller that was busy holds no host to a deadline."""

from __future__ import annotations

import asyncio
import time

from pybible.server.controller.sessions.attempts import Attempt, Verdict
from pybible.server.controller.sessions.instructions import Close, Decision, JournalState, Opening
from pybible.server.controller.sessions.presence import AgentPresence
from pybible.server.controller.sessions.settings import SessionSettings
from pybible.v1 import agent_pb2

GRACE = 0.05


class Silent:
    """A stream on which nothing arrives."""

    def send_dispatch(self, attempt: Attempt) -> None:
        """Do nothing."""

    def send_cancel(self, attempt_id: str) -> None:
        """Do nothing."""

    def send_renewal(self) -> None:
        """Do nothing."""

    def end(self, why: Close) -> None:
        """Do nothing."""


class Asking:
    """An owner that waits for an end."""

    def __init__(self) -> None:
        self.end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def dispatched(self, attempt: Attempt) -> None:
        """Do nothing."""

    def progressed(self, attempt: Attempt) -> None:
        """Do nothing."""

    def output(self, attempt: Attempt, output: agent_pb2.Output) -> None:
        """Do nothing."""

    def ended(self, attempt: Attempt, verdict: Verdict) -> None:
        """Keep why."""
        self.end.set_result(verdict.reason)


def attach(presence: AgentPresence, number: int, *journal: tuple[str, JournalState]) -> tuple[object, ...]:
    """Let the agent come with its journal. Return what is decided on each entry."""
    presence.add_stream(number, Silent())
    machine = presence.machine
    presence.perform(machine.attach(number, incarnation="one", now=time.monotonic()))
    reconciled = machine.welcome(number, Opening("one", 1, journal), now=time.monotonic())
    assert reconciled is not None
    presence.perform(reconciled.instructions)
    return reconciled.verdicts


def gone(owner: Asking) -> AgentPresence:
    """Return an agent that has left in the middle of a task."""
    settings = SessionSettings(disconnect_grace=GRACE)
    presence = AgentPresence("id", settings=settings, clock=time.monotonic)
    attach(presence, 1)
    presence.dispatch(
        Attempt(id="a", name="a", run_id="r", task_id="t", host="h", agent="h", position=1, owner=owner, grace=GRACE)
    )
    presence.machine.accepted("a")
    presence.remove_stream(1, goodbye=False)
    return presence


async def test_who_came_back_while_the_controller_was_busy_is_not_lost() -> None:
    owner = Asking()
    presence = gone(owner)
    time.sleep(0.3)  # noqa: ASYNC251  the loop is busy
    # The timer is due, and what the agent said meanwhile is read some turns of the loop later.
    for _ in range(5):
        await asyncio.sleep(0)
    assert not owner.end.done()
    assert attach(presence, 2, ("a", JournalState.FINISHED)) == (("a", Decision.ADOPT),)
    presence.close()


async def test_who_did_not_come_back_is_lost_though_the_controller_was_busy() -> None:
    owner = Asking()
    presence = gone(owner)
    time.sleep(0.3)  # noqa: ASYNC251  the loop is busy
    assert await owner.end == "lost_mid_task"
    presence.close()
