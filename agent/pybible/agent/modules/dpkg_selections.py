"""dpkg_selections: says what dpkg is to do with a package: install, hold, deinstall or purge it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of dpkg_selections."""

    name: str = arg(doc="the package")
    selection: Literal["install", "hold", "deinstall", "purge"] = arg(doc="what is to be done with it")


def plan(args: Args, context: Context) -> Plan:
    """Compare the package's selection with what is asked."""
    program = need("dpkg", context)
    done = call([program, "--get-selections", args.name], context, also={"LC_ALL": "C.UTF-8"})
    words = done.stdout.split()
    if done.rc or len(words) < 2:
        raise ModuleError(f"Failed to find package '{args.name}' to perform selection '{args.selection}'.")
    before = words[1]
    values: JsonObject = {"before": before, "after": args.selection}
    if before == args.selection:
        return Unchanged(values=values)
    return Change(values=values, apply=partial(_select, args, context, program))


def _select(args: Args, context: Context, program: str) -> None:
    done = call([program, "--set-selections"], context, stdin=f"{args.name} {args.selection}\n")
    if done.rc:
        raise ModuleError(done.stderr.strip(), rc=done.rc, stdout=done.stdout, stderr=done.stderr)


MODULE = Module(name="dpkg_selections", args=Args, plan=plan, exclusive=True)
