"""api: what a native module is made of: a dataclass of arguments, a pure plan, a change to apply."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Generic, TypeAlias, TypeVar

from pybible.wire.values import JsonObject, JsonValue

if TYPE_CHECKING:
    from pybible.agent.modules.spec import Spec

ArgsT = TypeVar("ArgsT")

# A path exactly as it was written ("a//b/", "./x"): results repeat it, and a trailing slash can mean something.
PathText: TypeAlias = Annotated[str, "path"]


class ModuleError(Exception):
    """The module's own failure. `msg` and `values` become the result; `cause` is what lies under it, for the screen."""

    def __init__(self, msg: str, *, cause: str = "", **values: JsonValue) -> None:
        super().__init__(msg)
        self.msg = msg
        self.cause = cause
        self.values = values


def _can_not_give(_sha256: str, size: int, _file: BinaryIO) -> None:
    raise ModuleError(f"a file of {size} bytes can't be handed over by a task that runs in the background")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """How a task is to be run, and what came with it. `content` gives the local path of attached content by sha256.

    `give` hands a file to the engine, which finds it by its sha256: (sha256, size in bytes, the file at its beginning).
    """

    check: bool = False
    diff: bool = False
    verbosity: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    content: Callable[[str], Path]
    emit: Callable[[str, bytes], None]
    give: Callable[[str, int, BinaryIO], None] = _can_not_give
    deadline: float | None = None
    no_log: bool = False


@dataclass(frozen=True, slots=True)
class Diff:
    """What changes, as text or as the states of a file. Headers are paths, in words that the screen repeats."""

    before: JsonValue
    after: JsonValue
    before_header: str | None = None
    after_header: str | None = None

    def as_json(self) -> JsonObject:
        """Return the form that a result has under `diff`."""
        shown: JsonObject = {"before": self.before, "after": self.after}
        if self.before_header is not None:
            shown["before_header"] = self.before_header
        if self.after_header is not None:
            shown["after_header"] = self.after_header
        return shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a plan found to do.

    `values` are the result's keys as far as they are known beforehand, in check mode all there is. `apply` touches the
    host and returns more keys (or None); what it returns wins. `diff` is shown only when the task asks for it.
    """

    apply: Callable[[], JsonObject | None]
    values: JsonObject = field(default_factory=dict)
    msg: str | None = None
    diff: JsonValue | Diff | None = None
    changed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """Nothing is to do: the result's keys. None from a plan is the same without any.

    described: owner, mode, ... of the `path` or `dest` among the values are added.
    """

    values: JsonObject = field(default_factory=dict)
    diff: JsonValue | Diff | None = None
    described: bool = True


Plan: TypeAlias = Change | Unchanged | None


def suboptions(args: type[Any], **rules: Sequence[tuple[str, ...]]) -> Module[Any]:
    """Return what checks the items of an argument, by a dataclass and rules as a module's own."""
    return Module(name="", args=args, plan=lambda _args, _context: None, **rules)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Module(Generic[ArgsT]):
    """A native module: its name, the dataclass of its arguments, its plan, and the rules between arguments.

    A rule of `required_if` reads (argument, value, (arguments that are then needed, ...)), one of `required_by`
    (argument, (arguments that are needed with it, ...)), one of `hidden_if` (argument that is true, argument that is
    then shown nowhere).
    ignores_unknown: arguments that it does not have are no error. whole: what its plan gives is the result, to which
    nothing is added. dispatch: gives the module, and the arguments, that stand for this one and its.
    """

    name: str
    args: type[ArgsT]
    plan: Callable[[ArgsT, Context], Plan]
    mutually_exclusive: Sequence[tuple[str, ...]] = ()
    required_one_of: Sequence[tuple[str, ...]] = ()
    required_together: Sequence[tuple[str, ...]] = ()
    required_if: Sequence[tuple[str, object, tuple[str, ...]]] = ()
    required_by: Sequence[tuple[str, tuple[str, ...]]] = ()
    hidden_if: Sequence[tuple[str, str]] = ()
    exclusive: bool = False
    ignores_unknown: bool = False
    whole: bool = False
    dispatch: Callable[[JsonObject, Context], tuple[Module[Any], JsonObject]] | None = None

    @cached_property
    def spec(self) -> Spec:
        """The compiled form of the arguments, made at first use."""
        from pybible.agent.modules.spec import compile_spec

        return compile_spec(self.args)


def arg(
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    aliases: tuple[str, ...] = (),
    choices: tuple[JsonValue, ...] = (),
    no_log: bool = False,
    raw: bool = False,
    internal: bool = False,
    suboptions: Module[Any] | None = None,
    doc: str = "",
) -> Any:
    """Describe one argument of a module. Without a default it is required. One whose name Python has a use for,
    as `global` and `list`, has a field with an underscore at its end.

    raw: take any type as it comes. internal: not part of the stock module; kept out of messages and `invocation`.
    suboptions: what the items of a list of dictionaries may have.
    """
    metadata = {
        "aliases": aliases, "choices": choices, "no_log": no_log, "raw": raw, "internal": internal, "doc": doc,
        "suboptions": suboptions,
    }  # fmt: skip
    if default_factory is not dataclasses.MISSING:
        return field(default_factory=default_factory, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAttributes:
    """The arguments that every module which makes a file shares."""

    mode: str | int | None = arg(default=None, raw=True, doc="permissions: octal or symbolic")
    owner: str | None = arg(default=None, doc="name or number of the owner")
    group: str | None = arg(default=None, doc="name or number of the group")
    seuser: str | None = arg(
        default=None, doc="user of the SELinux context, where the host has SELinux; `_default`: as in its policy"
    )
    serole: str | None = arg(default=None, doc="role of it, likewise")
    setype: str | None = arg(default=None, doc="type of it, likewise")
    selevel: str | None = arg(default=None, doc="level of it, likewise")
    unsafe_writes: bool = arg(default=False, doc="allow a write that is not atomic where an atomic one is impossible")
    attributes: str | None = arg(default=None, aliases=("attr",), doc="flags as of chattr, with + - or =")
