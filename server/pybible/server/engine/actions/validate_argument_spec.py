"""validate_argument_spec: checks variables against a specification, as a role's meta/argument_specs.yml has it."""

from __future__ import annotations

from collections.abc import Mapping

from pybible.server.engine.actions.arguments import as_list, to_bool
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult
from pybible.wire.values import JsonObject

_MISSING = object()


async def run(call: ActionCall) -> ActionResult:
    """Check `provided_arguments`, and the host's variables, against `argument_spec`."""
    spec = call.args.get("argument_spec")
    if spec is None:
        raise ActionFailed('"argument_spec" arg is required in args: ' + str(call.args))
    if not isinstance(spec, dict):
        raise ActionFailed(f"Incorrect type for argument_spec, expected dict and got {type(spec)}")
    provided = call.args.get("provided_arguments") or {}
    if not isinstance(provided, dict):
        raise ActionFailed(f"Incorrect type for provided_arguments, expected dict and got {type(provided)}")
    context = call.args.get("validate_args_context") or {}
    values = {name: _value(call, str(name)) for name in spec}
    values = {name: value for name, value in values.items() if value is not _MISSING}
    values.update(provided)
    errors = list(_errors(spec, values, ""))
    if errors:
        result: JsonObject = {
            "failed": True,
            "changed": False,
            "msg": "Validation of arguments failed:\n" + "\n".join(errors),
            "argument_errors": errors,
            "argument_spec_data": spec,
            "validate_args_context": context,
        }
        return ActionResult(result=result)
    return ActionResult(
        result={"changed": False, "msg": "The arg spec validation passed", "validate_args_context": context}
    )


def _value(call: ActionCall, name: str) -> object:
    if name not in call.templar.variables:
        return _MISSING
    return call.templar.render(call.templar.variables[name])


def _errors(spec: Mapping[object, object], values: Mapping[object, object], path: str) -> list[str]:
    errors: list[str] = []
    required = sorted(
        str(name)
        for name, option in spec.items()
        if isinstance(option, dict) and to_bool(option.get("required")) and values.get(name) is None
    )
    if required:
        where = f" found in {path}" if path else ""
        errors.append(f"missing required arguments: {', '.join(required)}{where}")
    for name, option in spec.items():
        if isinstance(option, dict) and values.get(name) is not None:
            errors += _check(str(name), option, values[name], path)
    return errors


def _check(name: str, option: Mapping[object, object], value: object, path: str) -> list[str]:
    where = f" found in '{path}'" if path else ""
    kind = str(option.get("type") or "str")
    problem = _type_problem(kind, value)
    if problem:
        found = type(value).__name__
        return [f"argument '{name}' is of type {found}{where} and we were unable to convert to {kind}: {problem}"]
    errors: list[str] = []
    choices = option.get("choices")
    if isinstance(choices, list):
        chosen = as_list(value) if kind == "list" else [value]
        wrong = [item for item in chosen if str(item) not in [str(choice) for choice in choices]]
        if wrong:
            listed = ", ".join(str(choice) for choice in choices)
            got = ", ".join(str(item) for item in wrong)
            amount = "one or more of" if kind == "list" else "one of"
            suffix = f". Got no match for: {got}" if kind == "list" else f", got: {got}"
            errors.append(f"value of {name} must be {amount}: {listed}{suffix}{where}")
    nested = option.get("options")
    if isinstance(nested, dict):
        inner = f"{path} -> {name}" if path else name
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                errors += _errors(nested, item, inner)
    return errors


def _type_problem(kind: str, value: object) -> str:
    """Return why a value can't be of a kind, empty when it can."""
    match kind:
        case "int" if isinstance(value, bool) or not _parses(int, value):
            return f'"{value!r}" cannot be converted to an int'
        case "float" if not _parses(float, value):
            return f'"{value!r}" cannot be converted to a float'
        case "bool" if to_bool(value) is None:
            return f"The value {value!r} is not a valid boolean."
        case "dict" if not isinstance(value, dict | str):
            return f"{type(value)} cannot be converted to a dict"
        case "list" if not isinstance(value, list | str | int | float):
            return f"{type(value)} cannot be converted to a list"
    return ""


def _parses(kind: type[int] | type[float], value: object) -> bool:
    try:
        kind(str(value))
    except ValueError:
        return False
    return True
