"""outcome: what became of a task on a host, before the strategy and the operator hear of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pybible.server.engine.actions.call import FactsLevel
from pybible.server.results.events import Status
from pybible.wire.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class IncludeRequest:
    """One include that is due: its rendered arguments and the loop variables that its tasks see."""

    args: Mapping[str, object]
    item_vars: Mapping[str, object] = field(default_factory=dict)
    label: JsonValue = None


@dataclass(slots=True, kw_only=True)
class ItemOutcome:
    """One item of a loop, or the whole of a task without one."""

    result: JsonObject
    error: str = ""
    label: str = ""
    no_log: bool = False
    verbose_always: bool = False
    diff: bool = False
    facts_level: FactsLevel = FactsLevel.FACTS
    cacheable: bool = False
    facts_host: str = ""
    notify: tuple[str, ...] = ()
    include: IncludeRequest | None = None
    # The item's label could not be rendered; what failed is not the task.
    unlabelled: bool = False
    # The earlier run that told it, when this one took it over.
    from_run: str = ""

    @property
    def status(self) -> Status:
        """How it ended."""
        if self.result.get("unreachable"):
            return Status.UNREACHABLE
        # What failed_when said counts, even when `until` was never true.
        if self.result.get("failed_when_result", self.result.get("failed")):
            return Status.FAILED
        return Status.SKIPPED if self.result.get("skipped") else Status.OK


@dataclass(slots=True, kw_only=True)
class HostOutcome:
    """The whole task on a host. `items` has one element for a task without a loop.

    `action` is what a template named the task's module, else empty.
    """

    host: str
    final: ItemOutcome
    items: list[ItemOutcome]
    action: str = ""
    loop: bool = False
    ignore_errors: bool = False
    ignore_unreachable: bool = False
    # The operator has seen it already, under the debugger.
    seen: bool = False

    @property
    def includes(self) -> list[IncludeRequest]:
        """The includes that are due, in the order of the loop."""
        return [item.include for item in self.items if item.include is not None]

    @property
    def ignored(self) -> bool:
        """Whether it went wrong and the play goes on all the same."""
        match self.final.status:
            case Status.FAILED:
                return self.ignore_errors
            case Status.UNREACHABLE:
                return self.ignore_unreachable
        return False
