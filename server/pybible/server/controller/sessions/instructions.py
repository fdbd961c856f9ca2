"""instructions: what a session machine wants done. It does nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from pybible.server.controller.sessions.attempts import Attempt, Verdict


class SessionState(StrEnum):
    """What the controller knows of an agent, from its streams alone."""

    OFFLINE = "offline"
    SYNC = "sync"
    READY = "ready"
    DRAINING = "draining"
    SUSPECT = "suspect"
    LOST = "lost"
    QUARANTINED = "quarantined"


class JournalState(StrEnum):
    """What an agent remembers of an attempt."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"


class Decision(StrEnum):
    """What becomes of an attempt in an agent's journal."""

    ADOPT = "adopt"
    DROP = "drop"
    CANCEL = "cancel"


class Close(StrEnum):
    """Why the controller ends a stream."""

    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"
    SILENT = "silent"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SHUTTING_DOWN = "shutting_down"


@dataclass(frozen=True, slots=True)
class SendDispatch:
    """Send an attempt to the agent."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Adopt:
    """An attempt is out on the agent already: an earlier controller sent it."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class SendCancel:
    """Ask the agent to end an attempt."""

    attempt_id: str


@dataclass(frozen=True, slots=True)
class End:
    """Give an attempt its verdict."""

    attempt: Attempt
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CloseStream:
    """End a stream of this agent."""

    stream: int
    why: Close


Instruction: TypeAlias = SendDispatch | Adopt | SendCancel | End | CloseStream


@dataclass(frozen=True, slots=True)
class Opening:
    """What a Hello says that matters to the machine. `journal` in the order of the agent's file."""

    incarnation: str
    slots: int
    journal: tuple[tuple[str, JournalState], ...] = ()


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What became of the journal, for the Welcome; and what is to be done once that is sent."""

    verdicts: tuple[tuple[str, Decision], ...]
    instructions: list[Instruction]
