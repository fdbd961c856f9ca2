"""at: has a command run once, later; or takes such a job back."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import must, need
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of at."""

    command: str | None = arg(default=None, doc="what to run")
    script_file: str | None = arg(default=None, doc="a script on the host that is to be run")
    count: int | None = arg(default=None, doc="in how many units from now")
    units: Literal["minutes", "hours", "days", "weeks"] | None = arg(default=None, doc="of what")
    state: Literal["absent", "present"] = arg(default="present", doc="add the job, or remove all jobs of that text")
    unique: bool = arg(default=False, doc="don't add a job when one of that text is there")


def plan(args: Args, context: Context) -> Plan:
    """Look for jobs of that text where it matters."""
    if context.check:
        text = f"remote module ({MODULE.name}) does not support check mode"
        return Unchanged(values={"msg": text, "skipped": True})
    program = need("at", context)
    if args.state == "present" and (args.count is None or args.units is None):
        raise ModuleError("present state requires count and units")
    values: JsonObject = {"state": args.state}
    if args.state == "absent" or args.unique:
        jobs = _jobs_of(args, program, context)
        if args.state == "absent":
            if jobs:
                return Change(values=values, apply=partial(_remove, program, jobs, context))
            return Unchanged(values=values)
        if jobs:
            return Unchanged(values=values)
    return Change(values=values, apply=partial(_add, args, program, context))


def numbers(listing: str) -> list[str]:
    """Return the numbers of the jobs that atq lists."""
    words = (line.split(maxsplit=1) for line in listing.splitlines())
    return [found[0] for found in words if found and found[0].isdecimal()]


def _jobs_of(args: Args, program: str, context: Context) -> list[str]:
    if args.command is not None:
        text = args.command
    else:
        file = Path(str(args.script_file))
        if not file.is_file():
            raise ModuleError(f"script_file {file} does not exist")
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    listed = must([need("atq", context)], context).stdout
    return [job for job in numbers(listed) if text in must([program, "-c", job], context).stdout]


def _remove(program: str, jobs: list[str], context: Context) -> None:
    for job in jobs:
        must([program, "-r", job], context)


def _add(args: Args, program: str, context: Context) -> JsonObject:
    path = args.script_file
    if args.command is not None:
        handle, path = tempfile.mkstemp(prefix="at")
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(args.command)
    try:
        must([program, "-f", str(path), "now", "+", str(args.count), str(args.units)], context)
    finally:
        if args.command is not None:
            Path(str(path)).unlink()
    return {"script_file": path, "count": args.count, "units": args.units}


MODULE = Module(
    name="ansible.posix.at",
    args=Args,
    plan=plan,
    mutually_exclusive=(("command", "script_file"),),
    required_one_of=(("command", "script_file"),),
)
