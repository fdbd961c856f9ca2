"""attempts: one task on one host, one try, from its slot to its one verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from pybible.server.controller.rights import Rights
from pybible.v1 import agent_pb2, run_pb2
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import changes_host
from pybible.wire.values import JsonObject, dumps

# How often it is looked at whether an attempt was accepted, before its agent's heartbeats do not matter any more.
_LOOKS = 10


class AttemptState(StrEnum):
    """How far an attempt is."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How an attempt ended. `content` is a JSON object in bytes, or the blob that holds it.

    `given` says that it is the controller's own verdict, not the agent's result: a result may still come, late.
    """

    content: bytes | agent_pb2.Attachment | run_pb2.PushedFacts = b"{}"
    reason: str = ""
    unreachable: bool = False
    given: bool = False
    # Why it was not even sent: what the operator may not have run.
    refusal: str = ""


class AttemptOwner(Protocol):
    """The run that an attempt belongs to. None of these may raise, wait, or call back into the session."""

    def dispatched(self, attempt: Attempt) -> None:
        """It was sent to its agent, now."""

    def progressed(self, attempt: Attempt) -> None:
        """Its state changed on the agent."""

    def output(self, attempt: Attempt, output: agent_pb2.Output) -> None:
        """The task printed something."""

    def ended(self, attempt: Attempt, verdict: Verdict) -> None:
        """It has its verdict. Called once."""


@dataclass(slots=True, eq=False, kw_only=True)
class Attempt:
    """An attempt on its way. The session machine of its agent moves it while it is out; then its run ends it.

    `id` is unique everywhere (RUN_ID:NAME), `name` in its run. `grace` and `timeout` are in seconds.
    """

    id: str
    name: str
    run_id: str
    task_id: str
    host: str
    agent: str
    position: int
    owner: AttemptOwner
    spec: agent_pb2.TaskSpec | None = None
    signature: agent_pb2.Signature | None = None
    # What its operator may have run; None: anything.
    rights: Rights | None = None
    timeout: float | None = None
    grace: float = 0.0
    lost_is_unreachable: bool = False
    state: AttemptState = AttemptState.PENDING
    cancelling: bool = False
    # On the session's clock: until when it may wait for a session, or for an Accepted.
    wait_until: float = field(default=float("inf"))
    # While it waits for an Accepted: how many heartbeats of its agent must have come, and how often that was looked at.
    beats_due: int = 0
    looks: int = 0
    output_left: int = 0
    # An earlier controller may have sent it out: the agent's journal knows.
    again: bool = False
    # When an earlier controller had its result, which ctl has not heard of (seconds since the epoch).
    resulted_at: float | None = None
    # On the session's clock: until when an agent that was not here yet, after a restart of the controller, may come.
    expected_until: float = 0.0
    # Whether its operator may have it run was not looked at: not all was known of the agent.
    unchecked: bool = False
    # Facts that the agent pushed answer it when they are no older. 0: it is run.
    facts_within: float = 0.0
    # On the wall clock, for the history. `heard_at`: the agent's first word of it, when that was not its result.
    submitted_at: float = 0.0
    granted_at: float | None = None
    heard_at: float | None = None
    ended_at: float | None = None
    verdict: Verdict | None = None

    @property
    def names(self) -> dict[str, str]:
        """What log records about it name."""
        return {
            "run_id": self.run_id,
            "task_id": self.task_id,
            "host": self.host,
            "agent": self.agent,
            "attempt_id": self.id,
        }

    def has_had_time(self, beats: int) -> bool:
        """Say, of an attempt that should have been accepted, whether its agent has had time; count how often.

        `beats`: how many heartbeats of its agent came. Of one that talks but sends none an answer is not waited for
        for ever.
        """
        self.looks += 1
        return beats >= self.beats_due or self.looks >= _LOOKS

    @property
    def module(self) -> str:
        """The module's name, empty on the control node."""
        return self.spec.module if self.spec is not None else ""

    @property
    def may_change_host(self) -> bool:
        """Whether what is known of the host may not be true any more after it."""
        return self.spec is not None and changes_host(self.spec.module, check=self.spec.check)


def failure(reason: Reason, message: str, **more: object) -> Verdict:
    """Return a verdict of the controller's: the host failed, and why."""
    content: JsonObject = {"failed": True, "changed": False, "msg": message, "reason": str(reason), **more}
    return Verdict(content=dumps(content), reason=str(reason), given=True)


def unreachable(reason: Reason, message: str, **more: object) -> Verdict:
    """Return a verdict of the controller's: the host could not be reached."""
    content: JsonObject = {"unreachable": True, "changed": False, "msg": message, "reason": str(reason), **more}
    return Verdict(content=dumps(content), reason=str(reason), unreachable=True, given=True)


def not_connected(agent: str) -> Verdict:
    """Return the verdict for an attempt whose agent has no session."""
    return unreachable(Reason.NOT_CONNECTED, f"agent '{agent}' is not connected to the controller")


def lost(attempt: Attempt, how: str = "lost") -> Verdict:
    """Return the verdict for an attempt whose agent left in the middle and did not come back in time, or never may."""
    message = f"agent '{attempt.agent}' was {how} while the task ran"
    make = unreachable if attempt.lost_is_unreachable else failure
    return make(Reason.LOST_MID_TASK, message, agent_lost=True)


def interrupted(attempt: Attempt) -> Verdict:
    """Return the verdict for an attempt whose agent was restarted in the middle."""
    message = f"agent '{attempt.agent}' was restarted while the task ran"
    return failure(Reason.INTERRUPTED, message)


def ended_before(attempt: Attempt, reason: str) -> Verdict:
    """Return the verdict for an attempt that had one from an earlier controller, which ctl did not hear of."""
    message = f"the task on agent '{attempt.agent}' was given up before the controller was started again ({reason})"
    known = Reason(reason) if reason in frozenset(Reason) else Reason.INTERRUPTED
    make = unreachable if known is Reason.NOT_CONNECTED else failure
    return make(known, message)


def accept_timeout(attempt: Attempt, seconds: float) -> Verdict:
    """Return the verdict for an attempt that its agent did not accept though it had so much time at least."""
    return failure(Reason.ACCEPT_TIMEOUT, f"agent '{attempt.agent}' did not accept the task within {seconds:g} s")


def cancelled() -> Verdict:
    """Return the verdict for an attempt that was cancelled before it had a result."""
    return failure(Reason.CANCELLED, "the task was cancelled")


def timed_out(seconds: float) -> Verdict:
    """Return the verdict for an attempt whose agent did not keep to the timeout."""
    return failure(Reason.TIMED_OUT, f"the task did not end within its timeout of {seconds:g} s")


def internal_error(error: BaseException) -> Verdict:
    """Return the verdict for an attempt that met a bug of ours."""
    text = f"{type(error).__name__}: {error}"
    return failure(Reason.INTERNAL_ERROR, f"this is a bug in pybible's controller: {text}")
