"""debug: shows a text or a variable."""

from __future__ import annotations

from pybible.server.engine.actions.arguments import as_int
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult
from pybible.server.engine.model.notices import located
from pybible.server.engine.model.text import origin_of
from pybible.wire.errors import TemplateError
from pybible.wire.values import JsonObject

_ALLOWED = ("msg", "var", "verbosity")


async def run(call: ActionCall) -> ActionResult:
    """Show `msg`, or the value of `var`."""
    args = call.args
    unknown = sorted(name for name in args if name not in _ALLOWED)
    if unknown:
        raise ActionFailed(
            f"Unsupported parameters for (debug) module: {', '.join(unknown)}. "
            f"Supported parameters include: {', '.join(_ALLOWED)}."
        )
    if "msg" in args and "var" in args:
        raise ActionFailed("parameters are mutually exclusive: msg|var")
    verbosity = as_int(args.get("verbosity", 0), name="verbosity")
    if verbosity > call.verbosity:
        return ActionResult(
            result={"changed": False, "skipped": True, "skipped_reason": "Verbosity threshold not met."}
        )
    result: JsonObject = {"changed": False}
    if "var" in args:
        _show_variable(call, result)
    else:
        result["msg"] = args.get("msg", "Hello world!")
    return ActionResult(result=result, verbose_always=True)


def _show_variable(call: ActionCall, result: JsonObject) -> None:
    origin = origin_of(call.args["var"])
    try:
        var = call.templar.expression(call.args["var"])
        if not isinstance(var, str):
            # A list or mapping: it is its own value.
            result[type(var).__name__] = var
            return
        value, noted = call.templar.evaluate_noting(var)
    except TemplateError as error:
        raise TemplateError("Error while resolving `var` expression", origin=origin) from error
    if noted:
        count = len(noted)
        errors = "\n".join(f"error {number} - {text}" for number, text in enumerate(noted, 1))
        text = f"Encountered {count} template error{'s' if count != 1 else ''}.\n{errors}"
        call.services.warn(located(text, origin))
    result[var] = value
