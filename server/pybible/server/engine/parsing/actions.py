"""actions: which module a task calls, and with what: every way in which a playbook may write that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from pybible.server.engine.bridge.finder import BridgeError
from pybible.server.engine.model.bridged import BridgedModule
from pybible.server.engine.model.notices import Deprecation, deprecated
from pybible.server.engine.model.text import SourceDict, Trusted, Vaulted, is_template, origin_of
from pybible.server.engine.parsing import keywords, known
from pybible.server.engine.parsing.free_form import parse_args, split_args
from pybible.wire.errors import ParseError, SourceError

_ATTRIBUTES: Final = frozenset(keywords.HANDLER) | {"static"}
_ARGS_HINT: Final = "A mapping or template which resolves to a mapping is required."
# In Ansible an action of the control node's stands before these: a module of the same name in a `library` would not
# be all of the task.
_WITH_ACTION: Final = frozenset(
    {
        "assemble", "async_status", "copy", "dnf", "fetch", "gather_facts", "package", "raw", "reboot", "script",
        "service", "template", "unarchive", "uri",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A task's module and arguments. `template` is one template that gives more arguments, under `args`."""

    action: str
    written: str
    args: dict[str, object]
    template: object = None
    # local_action: the task is delegated to localhost.
    local: bool = False
    # Where the module lies when it is not native.
    bridged: BridgedModule | None = None
    # What the operator is to hear of how it is written.
    notices: tuple[Deprecation, ...] = ()


class ModuleFinder(Protocol):
    """What finds the modules that are not native, as seen from a place in a playbook."""

    def find(self, name: str) -> BridgedModule | None:
        """Return a module. BridgeError when it is there and can't be run."""

    def find_before(self, name: str) -> BridgedModule | None:
        """Return a module that a short name means before it means a native one. BridgeError as above."""


class NoModules:
    """Finds nothing (ModuleFinder)."""

    def find(self, name: str) -> BridgedModule | None:
        """Return None."""

    def find_before(self, name: str) -> BridgedModule | None:
        """Return None."""


NO_MODULES: Final = NoModules()


def read_statement(task: Mapping[str, object], finder: ModuleFinder = NO_MODULES) -> Statement:
    """Return what a task's mapping calls. Raises ParseError."""
    statements = [key for key in task if key not in _ATTRIBUTES and not str(key).startswith("with_")]
    if "action" in task and "local_action" in task:
        raise ParseError("action and local_action are mutually exclusive", origin=origin_of(task))
    for key in ("action", "local_action"):
        if key in task:
            written, args = _old_style(task, task[key])
            if statements:
                raise _conflict(task, written, statements[0])
            statement = _statement(task, written, args, finder, local=key == "local_action")
            notices = [_mapping(task[key])] if isinstance(task[key], dict) else []
            return replace(statement, notices=(*_of_args(task), *notices))
    if not statements:
        raise ParseError("no module/action detected in task.", origin=origin_of(task), hint=_action_hint(task))
    if len(statements) > 1:
        raise _conflict(task, statements[0], statements[1])
    written = statements[0]
    if not isinstance(written, str):
        raise keywords.unknown_keyword(task, written, keywords.TASK, "Task")
    value = task[written]
    args = _new_style(task, value, known.canonical(written))
    notices = _of_args(task)
    if "args" in task and isinstance(value, str) and any(name != "_raw_params" for name in args):
        notices.append(_merged(value, args))
    return replace(_statement(task, written, args, finder), notices=tuple(notices))


def _of_args(task: Mapping[str, object]) -> list[Deprecation]:
    if "args" not in task or task["args"] is not None:
        return []
    hint = "A mapping or template which resolves to a mapping is required."
    return [deprecated("Ignoring empty task `args` keyword.", origin_of(task), hint=hint)]


def _mapping(value: object) -> Deprecation:
    return deprecated(
        "Using a mapping for `action` is deprecated.", origin_of(value), hint="Use a string value for `action`."
    )


def _merged(value: str, args: Mapping[str, object]) -> Deprecation:
    names = ", ".join(repr(str(name)) for name in sorted(args) if name != "_raw_params")
    told = f"Merging legacy k=v args ({names}) into task args."
    return deprecated(told, origin_of(value), hint="Include all task args in the task `args` mapping.")


def _statement(
    task: Mapping[str, object],
    written: str,
    inline: dict[str, object],
    finder: ModuleFinder,
    *,
    local: bool = False,
) -> Statement:
    action, bridged = _resolve(task, written, finder, named="action" in task or "local_action" in task)
    under, template = _additional(task)
    for name in inline if action not in known.COMMANDS else ():
        if str(name).startswith("_ansible_"):
            raise SourceError(
                f"Invalid parameter specified beginning with keyword '_ansible_' for action '{written}': '{name}'."
                " The prefix '_ansible_' is reserved for internal use only.",
                origin=origin_of(task),
            )
    args = SourceDict({**under, **inline}, origin_of(inline) or origin_of(task))
    free_text = args.get("_raw_params")
    if action not in known.FREE_FORM and keywords.is_whole_template(free_text):
        if template is not None:
            raise ParseError("arguments may come from one template only", origin=origin_of(task))
        template = args.pop("_raw_params")
    return Statement(action=action, written=written, args=args, template=template, local=local, bridged=bridged)


def resolve_rendered(name: str, finder: ModuleFinder) -> tuple[str, BridgedModule | None]:
    """Return what a template that named a module means: as _resolve. Raises SourceError."""
    action, bridged = _resolve({}, name, finder, named=True)
    if action in known.INCLUDES | known.IMPORTS | {"meta"}:
        return action, _nowhere(name)
    return action, bridged


def _nowhere(name: str) -> BridgedModule:
    return BridgedModule(name=name, lacking=f"Cannot resolve '{name}' to an action or module.")


def _resolve(
    task: Mapping[str, object], written: str, finder: ModuleFinder, *, named: bool
) -> tuple[str, BridgedModule | None]:
    """Return the canonical name of a module, and where it lies when it is not native. Raises ParseError.

    What `action` or `local_action` names (`named`) need not be there before the task runs, and may be a template.
    """
    action = known.canonical(written)
    if named and is_template(written):
        return action, None
    try:
        if action in known.SUPPORTED:
            return action, _before(written, action, finder)
        bridged = finder.find(written)
    except BridgeError as error:
        raise SourceError(error.message, origin=origin_of(written) or origin_of(task)) from error
    if bridged is not None:
        return action, bridged
    if named:
        return action, _nowhere(written)
    raise _unknown(task, written, action)


def _unknown(task: Mapping[str, object], written: str, action: str) -> ParseError:
    hint = keywords.nearest(action, known.SUPPORTED) or keywords.nearest(action, keywords.TASK)
    if action.count(".") >= 2 and not hint:
        hint = "Its collection, or the module in it, was not found on this machine."
    return ParseError(
        f"couldn't resolve module/action '{written}'. This often indicates a misspelling,"
        " missing collection, or incorrect module path.",
        origin=origin_of(task),
        hint=hint,
    )


def _before(written: str, action: str, finder: ModuleFinder) -> BridgedModule | None:
    """Return what stands before a native module of that name."""
    short = written.removeprefix("ansible.legacy.")
    if "." in short or action not in known.MODULES or action in _WITH_ACTION:
        return None
    return finder.find_before(written)


def _conflict(task: Mapping[str, object], first: str, second: str) -> ParseError:
    hints = (keywords.nearest(str(name), keywords.TASK) for name in (second, first) if _is_unknown(name))
    return ParseError(
        f"conflicting action statements: {first}, {second}", origin=origin_of(task), hint=next(filter(None, hints), "")
    )


def _is_unknown(name: str) -> bool:
    return known.canonical(name) not in known.SUPPORTED


def _action_hint(task: Mapping[str, object]) -> str:
    for key in ("tasks", "hosts", "roles"):
        if key in task:
            return f"'{key}' belongs to a play."
    return ""


def _additional(task: Mapping[str, object]) -> tuple[dict[str, object], object]:
    """Return what `args:` gives: a mapping, or one template."""
    value = task.get("args")
    if value is None:
        return {}, None
    if keywords.is_whole_template(value):
        return {}, value
    if isinstance(value, dict):
        return value, None
    raise ParseError(
        "The value of the task `args` keyword is invalid.",
        origin=origin_of(value) or keywords.key_origin(task, "args"),
        hint=_ARGS_HINT,
    )


def _new_style(task: Mapping[str, object], value: object, action: str) -> dict[str, object]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return _parsed(task, value, command=action in known.COMMANDS)
    if isinstance(value, Vaulted):
        return {"_raw_params": value}
    raise _bad_type(task, value)


def _old_style(task: Mapping[str, object], value: object) -> tuple[str, dict[str, object]]:
    if isinstance(value, str):
        return _split_module(task, value)
    if not isinstance(value, dict):
        raise _bad_type(task, value)
    rest = dict(value)
    module = rest.pop("module", None)
    if not isinstance(module, str):
        raise ParseError("no module/action detected in task.", origin=origin_of(value) or origin_of(task))
    written, inline = _split_module(task, module)
    args = {**rest, **inline}
    nested = args.pop("args", None)
    if isinstance(nested, str):
        args.update(_parsed(task, nested, command=False))
    elif isinstance(nested, dict):
        args.update(nested)
    return written, args


def _split_module(task: Mapping[str, object], text: str) -> tuple[str, dict[str, object]]:
    words = _words(task, text)
    if not words:
        raise ParseError("no module/action detected in task.", origin=origin_of(text) or origin_of(task))
    written, rest = words[0].strip(), " ".join(words[1:])
    if isinstance(text, Trusted):
        written, rest = Trusted(written, text.origin), Trusted(rest, text.origin)
    return written, _parsed(task, rest, command=known.canonical(written) in known.COMMANDS)


def _words(task: Mapping[str, object], text: str) -> list[str]:
    try:
        return split_args(text)
    except ParseError as error:
        raise ParseError(f"Error loading tasks: {error.message}", origin=origin_of(task)) from None


def _parsed(task: Mapping[str, object], text: str, *, command: bool) -> dict[str, object]:
    try:
        return parse_args(text, command=command)
    except ParseError as error:
        raise ParseError(f"Error loading tasks: {error.message}", origin=origin_of(task)) from None


def _bad_type(task: Mapping[str, object], value: object) -> ParseError:
    return ParseError(f"unexpected parameter type in action: <class '{type(value).__name__}'>", origin=origin_of(task))
