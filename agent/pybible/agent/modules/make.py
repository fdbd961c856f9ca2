"""make: runs targets of a makefile that are not up to date."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, locate, must, need
from pybible.wire.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of make."""

    chdir: PathText = arg(doc="the folder in which make runs")
    target: str | None = arg(default=None, doc="the target; without one, the makefile's first")
    targets: list[str] | None = arg(default=None, doc="several targets")
    params: Mapping[str, JsonValue] | None = arg(default=None, doc="variables; one without value is passed as it is")
    file: PathText | None = arg(default=None, doc="the makefile, when it has another name")
    make: PathText | None = arg(default=None, doc="the make program")
    jobs: int | None = arg(default=None, doc="how many commands run at once")

    def words(self, program: str) -> list[str]:
        """Return the command."""
        words = [program]
        words += [] if self.jobs is None else ["-j", str(self.jobs)]
        words += [] if self.file is None else ["-f", self.file]
        words += self.targets or ([] if self.target is None else [self.target])
        return [*words, *(_parameter(name, value) for name, value in (self.params or {}).items())]


def _parameter(name: str, value: JsonValue) -> str:
    return name if value in (None, "") else f"{name}={value}"


def plan(args: Args, context: Context) -> Plan:
    """Ask make whether anything is to do."""
    program = args.make or locate("gmake", context) or need("make", context)
    words = args.words(program)
    if args.make is not None and locate(args.make, context) is None:
        command = shlex.join([*words, "-q"])
        raise ModuleError("Error executing command.", cmd=command, rc=2, stdout="", stderr="")
    if not Path(args.chdir).is_dir():
        raise ModuleError(f"chdir: {args.chdir} is not a directory")
    values: JsonObject = {
        "command": shlex.join(words), "target": args.target, "targets": args.targets,
        "params": None if args.params is None else dict(args.params), "chdir": args.chdir, "file": args.file,
        "jobs": args.jobs, "failed": False,
    }  # fmt: skip
    asked = call([*words, "-q"], context, directory=args.chdir)
    said = {"stdout": _end(asked.stdout), "stderr": _end(asked.stderr)}
    if asked.rc == 0:
        return Unchanged(values=values | said, described=False)
    return Change(values=values | said, apply=partial(_make, args, context, words))


def _end(text: str) -> str:
    return text.rstrip("\r\n")


def _make(args: Args, context: Context, words: list[str]) -> JsonObject:
    done = must(words, context, directory=args.chdir, live=True)
    return {"stdout": _end(done.stdout), "stderr": _end(done.stderr)}


MODULE = Module(name="make", args=Args, plan=plan, mutually_exclusive=(("target", "targets"),))
