"""session_machine: what must always be true of the session of one agent."""

from __future__ import annotations

from pybible.server.controller.sessions.attempts import AttemptState
from pybible.server.controller.sessions.instructions import SessionState
from pybible.server.controller.sessions.state import SessionMachine


def validate(machine: SessionMachine) -> None:
    """Raise AssertionError when the machine contradicts itself."""
    if machine.out.keys() & machine.held.keys():
        raise AssertionError("an attempt is out and held")
    if any(item.state is AttemptState.PENDING for item in machine.out.values()):
        raise AssertionError("an attempt is out that was never sent")
    if any(item.state is not AttemptState.PENDING for item in machine.held.values()):
        raise AssertionError("an attempt is held that was sent")
    open_attempts = [*machine.out.values(), *machine.held.values()]
    attached = machine.state in {SessionState.READY, SessionState.DRAINING, SessionState.SYNC}
    if not attached and any(item.wait_until == float("inf") for item in open_attempts):
        raise AssertionError("an attempt waits for ever on an agent that is away")
    if attached and not machine.stream:
        raise AssertionError(f"{machine.state} without a stream")
    if machine.state in {SessionState.OFFLINE, SessionState.LOST, SessionState.QUARANTINED} and machine.stream:
        raise AssertionError(f"{machine.state} with a stream")
    if machine.state is SessionState.READY and machine.held and len(machine.out) < machine.slots:
        raise AssertionError("an attempt is held while the agent has a free slot")
