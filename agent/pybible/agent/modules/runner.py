"""runner: takes one module through check of arguments, plan, apply, to its result."""

from __future__ import annotations

import traceback
from contextlib import nullcontext
from typing import Any

from pybible.agent.modules.api import Change, Context, Diff, Module, ModuleError, Plan, Unchanged
from pybible.agent.modules.describe import add_path_facts
from pybible.agent.modules.exclusion import alone
from pybible.agent.modules.spec import ArgumentError, check_arguments
from pybible.wire.outcomes import Reason
from pybible.wire.values import JsonObject, JsonValue


def run(module: Module[Any], args: JsonObject, context: Context) -> JsonObject:
    """Run `module` and return its result. A failure, of whatever kind, is a result too: nothing is raised."""
    shown: JsonObject = args
    warnings: list[str] = []
    secrets: tuple[str, ...] = ()
    described = True
    try:
        if module.dispatch is not None:
            module, args = module.dispatch(args, context)
            shown = args
        checked = check_arguments(module, args)
        shown, warnings, secrets = checked.shown, checked.warnings, checked.secrets
        with alone("packages") if module.exclusive and not context.check else nullcontext():
            plan = module.plan(module.args(**checked.values), context)
            if module.whole and isinstance(plan, Unchanged):
                return plan.values
            result = _carry_out(plan, context)
        described = not isinstance(plan, Unchanged) or plan.described
    except ArgumentError as error:
        shown, secrets = error.shown, error.secrets
        result = {"failed": True, "changed": False, "msg": error.msg}
    except ModuleError as error:
        result = {"changed": False, **error.values, "failed": True, "msg": error.msg}
        if error.cause:
            result["_ansible_cause"] = error.cause
    except Exception as error:
        text = str(error) or type(error).__name__
        message = f"Task failed: Module failed: {text}"
        result = {"failed": True, "changed": False, "msg": message, "exception": traceback.format_exc()}
        result["reason"] = Reason.INTERNAL_ERROR.value
    if described and ("path" in result or "dest" in result):
        add_path_facts(result)
    result["invocation"] = {"module_args": shown}
    if warnings:
        result["warnings"] = [*warnings, *result.get("warnings", ())]
    return _without(secrets, result) if secrets else result


def _carry_out(plan: Plan, context: Context) -> JsonObject:
    if plan is None:
        return {"changed": False}
    if isinstance(plan, Unchanged):
        result = {"changed": False, **plan.values}
    else:
        result = {"changed": plan.changed, **plan.values}
        if plan.msg is not None:
            result["msg"] = plan.msg
    if context.diff and plan.diff is not None:
        result["diff"] = plan.diff.as_json() if isinstance(plan.diff, Diff) else plan.diff
    if isinstance(plan, Change) and not context.check:
        # What only doing it can tell goes over what was planned.
        result.update(plan.apply() or {})
    return result


def _without(secrets: tuple[str, ...], value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _without(secrets, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(secrets, item) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "*" * 8)
    return value
