"""raw: gives a command line to a shell, and takes what comes as it comes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.process import environment_for, run_process
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of raw."""

    _raw_params: str = arg(doc="the command line")
    executable: PathText | None = arg(default=None, doc="the shell")

    @property
    def line(self) -> str:
        """The command line."""
        return self._raw_params


def plan(args: Args, context: Context) -> Plan:
    """It always has to run, and nobody knows what it would do: in check mode it is skipped."""
    if context.check:
        return Unchanged(values={"skipped": True})
    return Change(apply=partial(_execute, args, context))


def _execute(args: Args, context: Context) -> JsonObject:
    words = [args.executable or "/bin/sh", "-c", args.line]
    try:
        done = run_process(words, environment=environment_for(context.environment), emit=context.emit)
    except (OSError, ValueError) as error:
        raise ModuleError(str(error), rc=getattr(error, "errno", None) or 257) from error
    result: JsonObject = {
        "rc": done.rc,
        "stdout": done.stdout.decode("utf-8", "surrogateescape"),
        "stderr": done.stderr.decode("utf-8", "surrogateescape"),
    }
    if done.rc:
        result |= {"msg": "non-zero return code", "failed": True}
    return result


MODULE = Module(name="raw", args=Args, plan=plan, ignores_unknown=True)
