"""argument_spec: arguments against a specification as `meta/argument_specs.yml` and stock modules have it.

Order and wording of what is found are ansible-core's.
"""

from __future__ import annotations

import ast
import decimal
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pybible.server.engine.actions.arguments import to_bool

Spec = Mapping[str, object]

_UNITS: Final = re.compile(r"\s*[0-9.]+\s*(?:[KMGTPEZY]?(?:b|bit|bits|byte|bytes)?)?\s*", re.IGNORECASE)
_PAIR: Final = re.compile(r"""(?:[^\s,"']|"(?:\\.|[^"])*"|'(?:\\.|[^'])*')+""")
_BOOLEANS: Final = "0, 1, '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"


class Unfit(Exception):
    """A value is not of a type and can't be made one. `str()` says why."""


@dataclass(slots=True)
class _Check:
    """What was found so far, and where the check is: the names of the options around it."""

    errors: list[str] = field(default_factory=list)
    path: tuple[str, ...] = ()
    unsupported: dict[str, Spec] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Note an error."""
        self.errors.append(f"{text} found in {' -> '.join(self.path)}" if self.path else text)


def check_arguments(spec: Spec, arguments: Mapping[str, object]) -> list[str]:
    """Return what is wrong with the arguments, nothing when all is well."""
    check = _Check()
    _check_level(check, spec, dict(arguments), {})
    if check.unsupported:
        names = ", ".join(sorted(check.unsupported))
        last = list(check.unsupported.values())[-1]
        aliases = sorted(alias for option in last.values() for alias in _texts(_mapping(option).get("aliases")))
        supported = ", ".join(sorted(last)) + (f" ({', '.join(aliases)})" if aliases else "")
        check.errors.append(f"{names}. Supported parameters include: {supported}.")
    return check.errors


def _check_level(check: _Check, spec: Spec, arguments: dict[str, object], rules: Mapping[str, object]) -> None:
    for name, option in spec.items():
        for alias in _texts(_mapping(option).get("aliases")):
            if alias in arguments:
                arguments[name] = arguments.pop(alias)
    for name in arguments:
        if name not in spec:
            check.unsupported[".".join((*check.path, name))] = spec
    _check_exclusive(check, rules, arguments)
    _set_defaults(spec, arguments)
    missing = sorted(
        name for name, option in spec.items() if to_bool(_mapping(option).get("required")) and name not in arguments
    )
    if missing:
        check.add(f"missing required arguments: {', '.join(missing)}")
    for name, option in spec.items():
        if name in arguments:
            _check_type(check, name, _mapping(option), arguments)
    for name, option in spec.items():
        if name in arguments:
            _check_choices(check, name, _mapping(option).get("choices"), arguments[name])
    _check_together(check, rules, arguments)
    _check_conditions(check, rules, arguments)
    for name, option in spec.items():
        _check_options(check, name, _mapping(option), arguments)


def _set_defaults(spec: Spec, arguments: dict[str, object]) -> None:
    for name, option in spec.items():
        default = _mapping(option).get("default")
        if default is not None:
            arguments.setdefault(name, default)


def _check_type(check: _Check, name: str, option: Mapping[str, object], arguments: dict[str, object]) -> None:
    value = arguments[name]
    if value is None and not to_bool(option.get("required")) and option.get("default") is None:
        return
    kind = str(option.get("type") or "str")
    where = " -> ".join(check.path)
    try:
        arguments[name] = converted = convert(kind, value)
    except Unfit as error:
        text = f"argument '{name}' is of type {_type_name(value)}" + (f" found in '{where}'." if where else "")
        check.errors.append(f"{text} and we were unable to convert to {kind}: {error}")
        return
    elements = option.get("elements")
    if kind != "list" or not elements or not isinstance(converted, list):
        return
    arguments[name] = items = []
    for item in converted:
        try:
            items.append(convert(str(elements), item))
        except Unfit as error:
            text = f"Elements value for option '{name}'" + (f" found in '{where}'" if where else "")
            text += f" is of type {_type_name(item)} and we were unable to convert to {elements}: {error}"
            check.errors.append(text)


def _check_choices(check: _Check, name: str, choices: object, value: object) -> None:
    if not isinstance(choices, list):
        return
    listed = ", ".join(map(str, choices))
    if isinstance(value, list):
        wrong = ", ".join(str(item) for item in value if item not in choices)
        if wrong:
            check.add(f"value of {name} must be one or more of: {listed}. Got no match for: {wrong}")
    elif value not in choices:
        check.add(f"value of {name} must be one of: {listed}, got: {value}")


def _check_exclusive(check: _Check, rules: Mapping[str, object], arguments: Mapping[str, object]) -> None:
    both = [group for group in _groups(rules, "mutually_exclusive") if _given(group, arguments) > 1]
    if both:
        check.add(f"parameters are mutually exclusive: {', '.join('|'.join(group) for group in both)}")


def _check_together(check: _Check, rules: Mapping[str, object], arguments: Mapping[str, object]) -> None:
    for group in _groups(rules, "required_together"):
        if 0 < _given(group, arguments) < len(group):
            check.add(f"parameters are required together: {', '.join(group)}")
            break
    for group in _groups(rules, "required_one_of"):
        if not _given(group, arguments):
            check.add(f"one of the following is required: {', '.join(group)}")
            break


def _check_conditions(check: _Check, rules: Mapping[str, object], arguments: Mapping[str, object]) -> None:
    for rule in _list(rules.get("required_if")):
        if not isinstance(rule, list) or len(rule) < 3:
            continue
        name, wanted, needed = str(rule[0]), rule[1], _texts(rule[2])
        one_is_enough = len(rule) > 3 and bool(rule[3])
        missing = [each for each in needed if each not in arguments]
        if name in arguments and arguments[name] == wanted and len(missing) > (len(needed) - 1 if one_is_enough else 0):
            amount = "any" if one_is_enough else "all"
            check.add(f"{name} is {wanted} but {amount} of the following are missing: {', '.join(missing)}")
            break
    for name, needs in _mapping(rules.get("required_by")).items():
        missing = [each for each in _texts(needs) if arguments.get(each) is None]
        if arguments.get(name) is not None and missing:
            check.add(f"missing parameter(s) required by '{name}': {', '.join(missing)}")
            break


def _check_options(check: _Check, name: str, option: Mapping[str, object], arguments: dict[str, object]) -> None:
    options, kind = option.get("options"), option.get("type")
    of_dicts = kind == "dict" or (kind == "list" and option.get("elements") == "dict")
    if not of_dicts or not isinstance(options, dict):
        return
    value = arguments.get(name)
    if value is None:
        if not to_bool(option.get("apply_defaults")):
            return
        value = arguments[name] = {}
    check.path = (*check.path, name)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Mapping):
            _check_level(check, options, dict(item), option)
        else:
            check.errors.append(f"value of '{name}' must be of type dict or list of dicts")
    check.path = check.path[:-1]


def convert(kind: str, value: object) -> object:
    """Return a value as one of that type. Raises Unfit."""
    converter = _CONVERTERS.get(kind)
    if converter is None:
        raise Unfit("'NoneType' object is not callable")
    return converter(value)


def _as_int(value: object) -> object:
    if isinstance(value, int):
        return value
    try:
        number = decimal.Decimal(str(value).strip())
        if number == int(number):
            return int(number)
    except (decimal.DecimalException, ValueError, OverflowError):
        pass
    raise Unfit(f'"{value!r}" cannot be converted to an int')


def _as_float(value: object) -> object:
    if isinstance(value, int | float | str):
        try:
            return float(value)
        except ValueError:
            pass
    raise _no(value, "a float")


def _as_bool(value: object) -> object:
    if not isinstance(value, str | int | float):
        raise _no(value, "a bool")
    found = to_bool(value)
    if found is None:
        raise Unfit(f"The value '{value}' is not a valid boolean. Valid booleans include: {_BOOLEANS}")
    return found


def _as_dict(value: object) -> object:
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, str):
        raise _no(value, "a dict")
    if value.startswith("{"):
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(value)
            except (ValueError, SyntaxError):
                continue
            if isinstance(found, dict):
                return found
        raise Unfit("unable to evaluate string as dictionary")
    if "=" in value:
        pairs = [pair.partition("=") for pair in _PAIR.findall(value)]
        return {name.strip(): text.strip("\"'") for name, _, text in pairs}
    raise Unfit("dictionary requested, could not parse JSON or key=value")


def _as_list(value: object) -> object:
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return value.split(",")
    if isinstance(value, int | float):
        return [str(value)]
    raise _no(value, "a list")


def _as_json(value: object) -> object:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, default=str)
    raise _no(value, "a json string")


def _as_size(what: str) -> Callable[[object], object]:
    def convert_size(value: object) -> object:
        if isinstance(value, int | float) or (isinstance(value, str) and _UNITS.fullmatch(value)):
            return value
        raise _no(value, f"a {what} value")

    return convert_size


def _no(value: object, what: str) -> Unfit:
    return Unfit(f"<class '{_type_name(value)}'> cannot be converted to {what}")


def _type_name(value: object) -> str:
    for kind in (bool, int, float, str, list, dict):
        if isinstance(value, kind):
            return kind.__name__
    return type(value).__name__


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _groups(rules: Mapping[str, object], name: str) -> Iterable[list[str]]:
    groups = _list(rules.get(name))
    # One group may stand alone.
    return (
        [_texts(group) for group in groups]
        if any(isinstance(group, list) for group in groups)
        else ([_texts(groups)] if groups else [])
    )


def _given(names: Sequence[str], arguments: Mapping[str, object]) -> int:
    return sum(name in arguments for name in names)


_CONVERTERS: Final[Mapping[str, Callable[[object], object]]] = {
    "bits": _as_size("Bit"),
    "bool": _as_bool,
    "bytes": _as_size("Byte"),
    "dict": _as_dict,
    "float": _as_float,
    "int": _as_int,
    "json": _as_json,
    "jsonarg": _as_json,
    "list": _as_list,
    "path": str,
    "raw": lambda value: value,
    "str": str,
}
