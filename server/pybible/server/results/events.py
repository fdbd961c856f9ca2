"""events: RunEvent, what a run says of itself, in the order in which it happens.

The engine makes them, the controller counts, stores and offers them to watchers, a report turns them into a screen.
Each corresponds to a callback of Ansible's (`v2_...`), named in its docstring. What `no_log` hides is hidden before an
event is made: nothing in an event is secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import ClassVar, TypeAlias

from pybible.wire.values import JsonObject, JsonValue, dumps, loads_object


class Status(StrEnum):
    """How a task ended on a host. Whether it changed anything is in the result."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNREACHABLE = "unreachable"


class TaskKind(StrEnum):
    """Which banner a task has."""

    TASK = "task"
    HANDLER = "handler"
    CLEANUP = "cleanup"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookStarted:
    """`v2_playbook_on_start`."""

    type: ClassVar[str] = "playbook_started"
    path: str
    # How many plays it holds; shown at -vv.
    plays: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayStarted:
    """`v2_playbook_on_play_start`: once for each play, and for each batch of a serial one."""

    type: ClassVar[str] = "play_started"
    play_id: str
    name: str
    check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHostsMatched:
    """`v2_playbook_on_no_hosts_matched`."""

    type: ClassVar[str] = "no_hosts_matched"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoHostsRemaining:
    """`v2_playbook_on_no_hosts_remaining`."""

    type: ClassVar[str] = "no_hosts_remaining"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted:
    """`v2_playbook_on_task_start`, `..._handler_task_start`, `..._cleanup_task_start`.

    `name` is what the banner shows (with the role's), `path` FILE:LINE, `hosts` how many hosts are about to run it
    (0 when the strategy does not know).
    """

    type: ClassVar[str] = "task_started"
    task_id: str
    name: str
    kind: TaskKind = TaskKind.TASK
    action: str = ""
    path: str = ""
    check: bool = False
    hosts: int = 0
    # Shown at -v and above under the banner, as stock Ansible does with ANSIBLE_DISPLAY_ARGS_TO_STDOUT only.
    args: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStarted:
    """`v2_runner_on_start`: the task was handed to the dispatcher for this host. For live progress only."""

    type: ClassVar[str] = "host_started"
    task_id: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostResult:
    """`v2_runner_on_ok`, `_failed`, `_skipped`, `_unreachable`: the one final result of a task on a host.

    `label` is the host as shown in brackets (`h1 -> h2` when delegated). `ignored`: it failed (or was unreachable)
    and the play goes on. `rescued`: it failed inside a block that has a rescue. `counted` false: the recap leaves it
    out (no result of its own, e.g. an include that only loads). `loop`: the lines of its items were shown before.
    `verbose_always`: the result is shown even without -v (debug). `error`: what failed and where, with the excerpts
    of the files, as printed behind `[ERROR]: ` before the line of the failure (once in a run for equal texts).
    """

    type: ClassVar[str] = "host_result"
    task_id: str
    host: str
    status: Status
    result: JsonObject = field(default_factory=dict)
    action: str = ""
    label: str = ""
    ignored: bool = False
    rescued: bool = False
    counted: bool = True
    loop: bool = False
    verbose_always: bool = False
    diff: bool = False
    error: str = ""
    # The earlier run that told it, when this one resumes it.
    from_run: str = ""

    @property
    def changed(self) -> bool:
        """Whether the host was changed."""
        return bool(self.result.get("changed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemResult:
    """`v2_runner_item_on_ok`, `_failed`, `_skipped`: one item of a loop. `item` is its label as shown."""

    type: ClassVar[str] = "item_result"
    task_id: str
    host: str
    status: Status
    item: JsonValue
    result: JsonObject = field(default_factory=dict)
    action: str = ""
    label: str = ""
    ignored: bool = False
    verbose_always: bool = False
    diff: bool = False
    error: str = ""
    # The earlier run that told it, when this one resumes it.
    from_run: str = ""

    @property
    def changed(self) -> bool:
        """Whether the host was changed."""
        return bool(self.result.get("changed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """`v2_runner_retry`: an `until` that is not yet true."""

    type: ClassVar[str] = "retry"
    task_id: str
    host: str
    name: str
    retries_left: int
    label: str = ""
    result: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncPoll:
    """`v2_runner_on_async_poll`, `_async_ok`, `_async_failed`; `state` is poll, ok or failed."""

    type: ClassVar[str] = "async_poll"
    task_id: str
    host: str
    state: str
    job_id: str
    started: bool = True
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """`v2_playbook_on_include`: a file or role was included for these hosts; each counts an ok."""

    type: ClassVar[str] = "included"
    task_id: str
    name: str
    hosts: tuple[str, ...]
    item: JsonValue = None


class MessageLevel(StrEnum):
    """What kind of line a message is."""

    WARNING = "warning"
    DEPRECATION = "deprecation"
    ERROR = "error"
    # A line as it is, on standard output (pause prompts, META lines at -vv).
    NOTICE = "notice"
    # The same with stars to the edge of the screen.
    BANNER = "banner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A line for the operator that belongs to no single result."""

    type: ClassVar[str] = "message"
    level: MessageLevel
    text: str
    # Shown from this verbosity on.
    verbosity: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A part of what a running task prints; for live display, cut and marked where there was too much."""

    type: ClassVar[str] = "output"
    task_id: str
    host: str
    stream: str
    text: str
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomStats:
    """What set_stats collected so far; `per_host` false means the host is `_run`."""

    type: ClassVar[str] = "custom_stats"
    host: str
    data: JsonObject


RunEvent: TypeAlias = (
    PlaybookStarted
    | PlayStarted
    | NoHostsMatched
    | NoHostsRemaining
    | TaskStarted
    | HostStarted
    | HostResult
    | ItemResult
    | Retry
    | AsyncPoll
    | Included
    | Message
    | Output
    | CustomStats
)

_types: Mapping[str, type[RunEvent]] = {kind.type: kind for kind in RunEvent.__args__}
_names = {kind: tuple(item.name for item in fields(kind)) for kind in _types.values()}
_enums = {"status": Status, "kind": TaskKind, "level": MessageLevel}
# What JSON has for a field's annotation; for any other annotation, anything.
_shapes = {"str": str, "int": int, "bool": bool, "JsonObject": dict, "tuple[str, ...]": list}
_shaped = {kind: tuple((item.name, _shapes.get(str(item.type))) for item in fields(kind)) for kind in _types.values()}


def encode_event(event: RunEvent) -> bytes:
    """Return the event as JSON."""
    return dumps({"type": event.type, **{name: getattr(event, name) for name in _names[type(event)]}})


def decode_event(data: bytes) -> RunEvent:
    """Read an event back. ValueError when it is none."""
    values = loads_object(data)
    kind = _types.get(str(values.pop("type", "")))
    if kind is None:
        raise ValueError("not an event of a run")
    known = {}
    for name, shape in _shaped[kind]:
        if name in values:
            value = known[name] = values[name]
            if shape is not None and not isinstance(value, shape):
                raise ValueError(f"not an event of a run: its {name} is {value!r:.100}")
    for name, enum in _enums.items():
        if name in known:
            known[name] = enum(known[name])
    if isinstance(known.get("hosts"), list):
        known["hosts"] = tuple(map(str, known["hosts"]))
    try:
        return kind(**known)
    except TypeError as error:
        raise ValueError(f"not an event of a run: {error}") from error
