"""dispatcher: the one way in which the engine reaches any host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pybible.server.results.events import RunEvent
from pybible.server.results.recap import Recap
from pybible.wire.tasks import Attachment, TaskSpec
from pybible.wire.values import JsonObject

# Called with (stream name, text, bytes dropped before it) while a task runs.
OutputSink = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an attempt runs. `agent` empty: on the control node. `host` is the name that the result counts for."""

    host: str
    agent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The one terminal result of an attempt. `reason` empty: the module gave `result` itself."""

    result: JsonObject = field(default_factory=dict)
    reason: str = ""
    unreachable: bool = False


class Dispatcher(Protocol):
    """What an open run offers to the engine. Every call returns; none raises for anything a host does."""

    @property
    def inline_attachment_bytes(self) -> int:
        """How large content may be to travel inside a task."""

    async def run(
        self, target: Target, spec: TaskSpec, *, task_id: str, throttle: int = 0, output: OutputSink | None = None
    ) -> Outcome:
        """Run one task on one host, once, when the window has room. Cancelling the call cancels the attempt."""

    async def attach(self, path: Path) -> Attachment:
        """Make a file's content available to tasks: hash it, and put it into the store unless it is small or known.

        Raises OSError when the file can't be read.
        """

    async def save(self, attachment: Attachment, path: Path) -> None:
        """Write what a task handed over beside its result to `path`.

        Raises PybibleError when it can't be had, OSError when it can't be written.
        """

    def publish(self, events: Iterable[RunEvent]) -> None:
        """Hand over what the engine decided, in order. Never waits."""

    async def finish(self, *, exit_status: int, error: str = "") -> Recap:
        """End the run and return the recap as the controller counted it."""

    @property
    def cancelled(self) -> str:
        """Why the run is to end, or empty. Set by an operator's cancel and by a controller that shuts down."""


class RunOpener(Protocol):
    """Opens runs. One exists for a controller elsewhere, one for an embedded one."""

    def open(self, request: RunRequest) -> AbstractAsyncContextManager[Dispatcher]:
        """Connect, announce the run, and close it whatever happens."""

    async def fleet(self) -> Mapping[str, Mapping[str, str]]:
        """Return the names of the enrolled agents, each with its labels: the inventory when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run announces. `disconnect_grace` in seconds, None for the controller's own."""

    name: str
    forks: int
    agents: tuple[str, ...] = ()
    check: bool = False
    disconnect_grace: float | None = None
    lost_is_unreachable: bool = False
    verbosity: int = 0
    # Whether what running tasks print is wanted here.
    live_output: bool = True
    # What led to it, empty for an operator's word; shown behind the name.
    because: str = ""
