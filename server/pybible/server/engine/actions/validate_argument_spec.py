"""validate_argument_spec: checks variables against a specification, as a role's meta/argument_specs.yml has it."""

from __future__ import annotations

from pybible.server.engine.actions.argument_spec import check_arguments
from pybible.server.engine.actions.call import ActionCall, ActionResult
from pybible.wire.values import JsonObject

_MISSING = object()


async def run(call: ActionCall) -> ActionResult:
    """Check `provided_arguments`, and the host's variables, against `argument_spec`."""
    spec = call.args.get("argument_spec")
    if spec is None:
        return _wrong(f'"argument_spec" arg is required in args: {call.args}')
    if not isinstance(spec, dict):
        return _wrong(f"Incorrect type for argument_spec, expected dict and got {type(spec)}")
    provided = call.args.get("provided_arguments") or {}
    if not isinstance(provided, dict):
        return _wrong(f"Incorrect type for provided_arguments, expected dict and got {type(provided)}")
    context = call.args.get("validate_args_context") or {}
    values = {name: _value(call, str(name)) for name in spec}
    values = {name: value for name, value in values.items() if value is not _MISSING}
    values.update(provided)
    errors = check_arguments(spec, values)
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


def _wrong(text: str) -> ActionResult:
    return ActionResult(result={"failed": True, "changed": False, "msg": f"Task failed: {text}"}, error=text)


def _value(call: ActionCall, name: str) -> object:
    if name not in call.templar.variables:
        return _MISSING
    return call.templar.render(call.templar.variables[name])
