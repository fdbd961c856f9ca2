"""events: what a strategy is told, and what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from pybible.server.engine.model.play import Node, Task


class Verdict(Enum):
    """How a task ended on a host, as far as the order of tasks is concerned (an ignored failure is OK)."""

    OK = auto()
    FAILED = auto()
    UNREACHABLE = auto()


class Effect(Enum):
    """What a task did to the play itself, beyond its verdict."""

    NONE = auto()
    FLUSH = auto()
    END_HOST = auto()
    END_ROLE = auto()
    END_BATCH = auto()
    END_PLAY = auto()
    CLEAR_ERRORS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """The end of a task on one host.

    `notify` names handlers and topics; `include` the nodes that come next at this place. `fatal`: a failure
    here fails every host of the batch (any_errors_fatal). `run_once`: the task ran once for all its hosts.
    """

    verdict: Verdict = Verdict.OK
    effect: Effect = Effect.NONE
    notify: Sequence[str] = ()
    include: Sequence[Node] = ()
    fatal: bool = False
    run_once: bool = False


ENDED_WELL = TaskEnd()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A task that is due on these hosts, in the batch's order. `handler`: it runs as one."""

    task: Task
    hosts: tuple[str, ...]
    handler: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The batch is over before its end: max_fail_percentage was passed, on so many hosts of so many."""

    failed: int
    hosts: int
