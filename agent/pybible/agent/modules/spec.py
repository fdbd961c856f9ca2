"""spec: a module's argument dataclass, compiled once, and the check of a task's arguments against it."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pybible.agent.modules.api import Module, ModuleError
from pybible.agent.modules.coerce import CONVERTERS, Convert
from pybible.wire.values import JsonObject, JsonValue

HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument: how to convert it, and what it may be."""

    name: str
    kind: str
    convert: Convert
    element: Convert | None = None
    default: JsonValue = None
    required: bool = False
    aliases: tuple[str, ...] = ()
    choices: tuple[JsonValue, ...] = ()
    no_log: bool = False
    internal: bool = False
    path_object: bool = False
    suboptions: Module[Any] | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Spec:
    """All the arguments of a module."""

    arguments: dict[str, Argument]
    names: dict[str, str]
    aliased: frozenset[str]
    required: tuple[str, ...]
    defaults: JsonObject


@dataclass(frozen=True, slots=True)
class Checked:
    """Arguments that passed: for the dataclass, for `invocation`, and what is to be said about them."""

    values: JsonObject
    shown: JsonObject
    warnings: list[str]
    secrets: tuple[str, ...]


class ArgumentError(ModuleError):
    """The arguments are wrong; `shown` is what there is for `invocation`, `secrets` what must not be seen."""

    def __init__(self, msg: str, shown: JsonObject) -> None:
        super().__init__(msg)
        self.shown = shown
        self.secrets: tuple[str, ...] = ()


def compile_spec(args: type[Any]) -> Spec:
    """Read the fields of an argument dataclass."""
    hints = get_type_hints(args, include_extras=True)
    compiled = [_argument(item, hints[item.name]) for item in dataclasses.fields(args)]
    arguments = {argument.name: argument for argument in compiled}
    names: dict[str, str] = {}
    for argument in arguments.values():
        names[argument.name] = argument.name
        names.update(dict.fromkeys(argument.aliases, argument.name))
    return Spec(
        arguments=arguments,
        names=names,
        aliased=frozenset(names) - frozenset(arguments),
        required=tuple(argument.name for argument in arguments.values() if argument.required),
        defaults={argument.name: argument.default for argument in arguments.values() if not argument.required},
    )


def _argument(item: dataclasses.Field[Any], hint: Any) -> Argument:
    kind, choices, element, path_object = _kind(hint)
    properties = item.metadata
    if properties.get("raw"):
        kind, element = "raw", None
    default: JsonValue = item.default
    required = False
    if item.default is dataclasses.MISSING:
        required = item.default_factory is dataclasses.MISSING
        default = None if item.default_factory is dataclasses.MISSING else item.default_factory()
    return Argument(
        name=item.name.removesuffix("_"),
        kind=kind,
        convert=CONVERTERS[kind],
        element=None if element is None else CONVERTERS[element],
        default=str(default) if isinstance(default, Path) else default,
        required=required,
        aliases=tuple(properties.get("aliases", ())),
        choices=tuple(properties.get("choices", ())) or choices,
        no_log=bool(properties.get("no_log")),
        internal=bool(properties.get("internal")),
        path_object=path_object,
        suboptions=properties.get("suboptions"),
        doc=str(properties.get("doc", "")),
    )


def _kind(hint: Any) -> tuple[str, tuple[JsonValue, ...], str | None, bool]:
    origin = get_origin(hint)
    if origin is Annotated:
        return str(hint.__metadata__[0]), (), None, False
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not type(None)]
        return _kind(members[0]) if len(members) == 1 else ("raw", (), None, False)
    if origin is Literal:
        return "str", tuple(get_args(hint)), None, False
    if hint is Path:
        return "path", (), None, True
    if origin in (list, tuple) or hint in (list, tuple):
        inner = get_args(hint)
        element = _kind(inner[0])[0] if inner else "raw"
        return "list", (), None if element == "raw" else element, False
    if origin is dict or hint is dict:
        return "dict", (), None, False
    if hint in (str, int, float, bool):
        return hint.__name__, (), None, False
    return "raw", (), None, False


def check_arguments(module: Module[Any], given: JsonObject) -> Checked:
    """Check and convert a task's arguments. ArgumentError, in the words of the stock modules."""
    spec = module.spec
    warnings: list[str] = []
    values = dict(given)
    if not spec.aliased.isdisjoint(given):
        _resolve_aliases(spec, values, warnings)
    shown = spec.defaults | values
    try:
        _check(module, values, shown)
    except ArgumentError as error:
        error.shown = _shown(module, shown)
        error.secrets = tuple(str(value) for value in _secret_values(module, shown))
        raise
    merged = spec.defaults | {name: value for name, value in shown.items() if name in spec.arguments}
    secrets = tuple(str(value) for value in _secret_values(module, merged))
    for name, argument in spec.arguments.items():
        if argument.path_object and merged[name] is not None:
            merged[name] = Path(merged[name])
        if argument.kind == "list" and merged[name] is not None:
            merged[name] = list(merged[name])
    fields = {item.name: merged[item.name.removesuffix("_")] for item in dataclasses.fields(module.args)}
    return Checked(values=fields, shown=_shown(module, shown), warnings=warnings, secrets=secrets)


def _secret_values(module: Module[Any], values: JsonObject) -> list[JsonValue]:
    """Return what must not be seen of the arguments."""
    hidden = _hidden(module, values)
    secret = [name for name, argument in module.spec.arguments.items() if argument.no_log or name in hidden]
    return [values[name] for name in secret if values.get(name) not in (None, "")]


def _resolve_aliases(spec: Spec, values: JsonObject, warnings: list[str]) -> None:
    for given in list(values):
        name = spec.names.get(given)
        if name is None or name == given:
            continue
        if name in values:
            warnings.append(f"Both option {name} and its alias {given} are set.")
        values[name] = values[given]


def _check(module: Module[Any], values: JsonObject, shown: JsonObject) -> None:
    spec = module.spec
    for group in module.mutually_exclusive:
        if sum(values.get(name) is not None for name in group) > 1:
            raise ArgumentError(f"parameters are mutually exclusive: {'|'.join(group)}", shown)
    missing = [name for name in spec.required if name not in values]
    if missing:
        shown.update(dict.fromkeys(missing))
        raise ArgumentError(f"missing required arguments: {', '.join(sorted(missing))}", shown)
    given = [spec.arguments[name] for name in values if name in spec.arguments]
    for argument in given:
        shown[argument.name] = _convert(argument, values[argument.name], shown)
    for argument in given:
        if argument.choices:
            _check_choice(argument, values[argument.name], shown)
    _check_presence(module, shown)
    unsupported = sorted(name for name in values if name not in spec.names)
    if unsupported and not module.ignores_unknown:
        raise ArgumentError(_unsupported(module, unsupported), shown)
    for argument in given:
        if argument.suboptions is not None and shown[argument.name] is not None:
            shown[argument.name] = _check_items(argument.name, argument.suboptions, shown[argument.name], shown)


def _check_items(name: str, module: Module[Any], items: JsonValue, shown: JsonObject) -> JsonValue:
    """Return the items of a list with what they leave out."""
    checked = []
    for item in items:
        whole = module.spec.defaults | item
        try:
            _check(module, dict(item), whole)
        except ArgumentError as error:
            raise ArgumentError(f"{error.msg} found in {name}", shown) from error
        checked.append(whole)
    return checked


def _convert(argument: Argument, value: JsonValue, shown: JsonObject) -> JsonValue:
    if value is None and (argument.default is None or argument.choices):
        return None if argument.kind not in ("str", "path") or argument.choices else ""
    try:
        converted = argument.convert(value)
    except (TypeError, ValueError) as error:
        message = f"argument '{argument.name}' is of type {type(value).__name__} and we were unable to convert to "
        raise ArgumentError(f"{message}{argument.kind}: {error}", shown) from error
    if argument.element is not None:
        return _convert_elements(argument, argument.element, converted, shown)
    return converted


def _convert_elements(argument: Argument, element: Convert, values: JsonValue, shown: JsonObject) -> JsonValue:
    converted = []
    for value in values:
        try:
            converted.append(element(value))
        except (TypeError, ValueError) as error:
            message = f"Elements value for option '{argument.name}' is of type {type(value).__name__}"
            kind = element.__name__.removeprefix("to_")
            raise ArgumentError(f"{message} and we were unable to convert to {kind}: {error}", shown) from error
    return converted


def _check_choice(argument: Argument, given: JsonValue, shown: JsonObject) -> None:
    value = shown[argument.name]
    if argument.kind == "list":
        wrong = [item for item in value if item not in argument.choices]
        if wrong:
            listed = ", ".join(str(choice) for choice in argument.choices)
            message = f"value of {argument.name} must be one or more of: {listed}. Got no match for: "
            raise ArgumentError(message + ", ".join(str(item) for item in wrong), shown)
        return
    if value not in argument.choices:
        listed = ", ".join(str(choice) for choice in argument.choices)
        raise ArgumentError(f"value of {argument.name} must be one of: {listed}, got: {given}", shown)


def _check_presence(module: Module[Any], values: JsonObject) -> None:
    def present(names: Sequence[str]) -> list[str]:
        return [name for name in names if values.get(name) is not None]

    for group in module.required_together:
        found = present(group)
        if found and len(found) < len(group):
            raise ArgumentError(f"parameters are required together: {', '.join(group)}", values)
    for group in module.required_one_of:
        if not present(group):
            raise ArgumentError(f"one of the following is required: {', '.join(group)}", values)
    for name, value, needed in module.required_if:
        absent = [item for item in needed if values.get(item) is None]
        if absent and values.get(name) == value:
            raise ArgumentError(f"{name} is {value} but all of the following are missing: {', '.join(absent)}", values)
    for name, needed in module.required_by:
        absent = [item for item in needed if values.get(item) is None]
        if absent and values.get(name) is not None:
            raise ArgumentError(f"missing parameter(s) required by '{name}': {', '.join(absent)}", values)


def _unsupported(module: Module[Any], names: list[str]) -> str:
    arguments = [argument for argument in module.spec.arguments.values() if not argument.internal]
    known = ", ".join(sorted(argument.name for argument in arguments))
    aliases = ", ".join(sorted(alias for argument in arguments for alias in argument.aliases))
    listed = f"{known} ({aliases})" if aliases else known
    wrong = ", ".join(names)
    return f"Unsupported parameters for ({module.name}) module: {wrong}. Supported parameters include: {listed}."


def _hidden(module: Module[Any], values: JsonObject) -> frozenset[str]:
    return frozenset(hidden for switch, hidden in module.hidden_if if values.get(switch))


def _shown(module: Module[Any], values: JsonObject) -> JsonObject:
    spec, hidden = module.spec, _hidden(module, values)
    shown: JsonObject = {}
    for name, value in values.items():
        argument = spec.arguments.get(spec.names.get(name, ""))
        if argument is None:
            shown[name] = value
        elif not argument.internal:
            secret = argument.no_log or argument.name in hidden
            shown[name] = HIDDEN if secret and value not in (None, "") else value
    return shown
