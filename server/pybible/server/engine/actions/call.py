"""call: what an action of the engine gets, and what it gives back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Protocol, TypeAlias

from pybible.server.engine.dispatcher import Outcome
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.model.bridged import BridgedModule
from pybible.server.engine.model.play import Play, Task
from pybible.server.engine.templating.templar import Templar
from pybible.wire.tasks import Attachment
from pybible.wire.values import JsonObject, JsonValue

# A directory's worth of files may be on its way at once.
Arguments: TypeAlias = dict[str, object]


class FactsLevel(Enum):
    """Where a result's `ansible_facts` go."""

    FACTS = auto()
    SET_FACT = auto()
    INCLUDE_VARS = auto()


class ActionFailed(Exception):
    """The action's own failure: `msg` and `values` become the result.

    `returned`: Ansible's own action gives it back as a result instead of raising it; `nested`: it is raised because of
    another error. The screen words each otherwise.
    """

    def __init__(self, msg: JsonValue, *, returned: bool = False, nested: bool = False, **values: JsonValue) -> None:
        super().__init__(msg)
        self.msg = msg
        self.returned = returned
        self.nested = nested
        self.values = values


@dataclass(slots=True, kw_only=True)
class ActionResult:
    """A result as Ansible has it, and what only the engine knows of it.

    `error` is the text behind "Task failed: " when it is not "Action failed: MSG"; `module_failed`: a module on a host
    said so. `reported`: `error` is the whole of what is shown, with its places.
    """

    result: JsonObject
    facts_level: FactsLevel = FactsLevel.FACTS
    cacheable: bool = False
    verbose_always: bool = False
    error: str = ""
    module_failed: bool = False
    reported: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A module that is not native, ready to be sent: as the bridge packed it. `version` is ansible-core's."""

    attachment: Attachment
    style: str
    entry: str
    interpreter: tuple[str, ...]
    version: str


class Services(Protocol):
    """What the executor does for actions."""

    async def run_module(
        self,
        name: str,
        args: Mapping[str, object],
        attachments: Sequence[Attachment] = (),
        *,
        check: bool | None = None,
        now: bool = False,
        known_facts: bool = False,
        here: bool = False,
    ) -> Outcome:
        """Run a module on the task's target, with its environment, become and limits.

        A task with `async` only has it started; `now`: not this one. `here`: on the control node instead, as whoever
        runs the playbook. `known_facts`: facts that the agent told by itself will do if the run takes them.
        """

    async def package(self, module: BridgedModule) -> Packed:
        """Make a module that is not native ready to be sent. Raises PybibleError."""

    def reaching(self) -> Templar:
        """Return what renders with the variables of the host on which the task runs, be it delegated."""

    async def attach(self, path: Path) -> Attachment:
        """Make a file available to the target. Raises OSError."""

    async def attach_bytes(self, content: bytes) -> Attachment:
        """Make content available to the target."""

    async def save(self, attachment: Attachment, path: Path) -> None:
        """Write what a task handed over beside its result to `path`. Raises PybibleError, OSError."""

    async def write_down(self, content: bytes, name: str) -> Path:
        """Write content into a temporary file called `name`, which is there until the run ends."""

    def read_file(self, path: Path) -> bytes:
        """Read a file of the operator's, decrypted when it is vaulted. Raises OSError, VaultError."""

    def load_vars(self, path: Path) -> object:
        """Read a YAML or JSON file of variables. Raises OSError, SourceError."""

    def note_brought(self, path: Path) -> None:
        """Record that a host filled this file: what it holds is data for the rest of the run."""

    def notice(self, text: str) -> None:
        """Show a line on the operator's screen."""

    def warn(self, text: str) -> None:
        """Show a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCall:
    """One task on one host, its arguments rendered. `variables` are those that its templates see."""

    name: str
    task: Task
    play: Play
    host: str
    args: Arguments
    templar: Templar
    services: Services
    inventory: Inventory
    check: bool = False
    diff: bool = False
    verbosity: int = 0
    # Whether the task runs on the control node itself, and the host that it is delegated to, if to any.
    runs_here: bool = False
    delegate: str = ""
    # The files that lookups and `src` may name lie in these folders, innermost first.
    search_path: Sequence[Path] = ()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    # Waits for a line of the operator's, shown as it is typed or not; None: there is no terminal.
    answer: Callable[[bool], Awaitable[str]] | None = None


Action: TypeAlias = Callable[[ActionCall], Awaitable[ActionResult]]


def from_outcome(outcome: Outcome) -> ActionResult:
    """Return the result of a module as the result of the task: with its lines, without what is the engine's only."""
    result = dict(outcome.result)
    error = ""
    cause = result.get("_ansible_cause")
    for name in ("stdout", "stderr"):
        text = result.get(name)
        if isinstance(text, str) and f"{name}_lines" not in result:
            result[f"{name}_lines"] = text.splitlines()
    for name in [name for name in result if name.startswith("_ansible_")]:
        del result[name]
    if outcome.unreachable:
        result["unreachable"] = True
        result.setdefault("changed", False)
    if outcome.reason or outcome.unreachable:
        error = str(result.get("msg", "")).removeprefix("Task failed: ")
    elif cause:
        error = f"Module failed: {str(result.get('msg', '')).rstrip('.')}: {cause}"
    failed = bool(result.get("failed")) and not outcome.reason
    return ActionResult(result=result, module_failed=failed, error=error)


def unsupported(
    call: ActionCall, allowed: Sequence[str], *, text: str = "Invalid options for {action}: {names}"
) -> None:
    """Fail when the task has arguments that the action does not know."""
    unknown = sorted(name for name in call.args if name not in allowed)
    if unknown:
        raise ActionFailed(text.format(action=call.name, names=",".join(unknown)))
