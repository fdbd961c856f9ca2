"""tempfile: makes a temporary file or folder of a new name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from tempfile import mkdtemp, mkstemp
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of tempfile."""

    state: Literal["directory", "file"] = arg(default="file", doc="what to make")
    path: PathText | None = arg(default=None, doc="where; the system's folder for temporary files when not said")
    prefix: str = arg(default="ansible.", doc="how the name begins")
    suffix: str = arg(default="", doc="how the name ends")


def plan(args: Args, context: Context) -> Plan:
    """Every call makes a new one."""
    if context.check:
        msg = "remote module (tempfile) does not support check mode"
        return Unchanged(values={"skipped": True, "msg": msg})
    for what in ("prefix", "suffix"):
        value = getattr(args, what)
        if os.path.basename(value) != value:  # noqa: PTH119
            raise ModuleError(f"{what} must be a valid file name component, got {value!r}")
    return Change(apply=partial(_make, args))


def _make(args: Args) -> JsonObject:
    try:
        if args.state == "directory":
            return {"path": mkdtemp(prefix=args.prefix, suffix=args.suffix, dir=args.path)}
        handle, path = mkstemp(prefix=args.prefix, suffix=args.suffix, dir=args.path)
    except OSError as error:
        raise ModuleError(str(error)) from error
    os.close(handle)
    return {"path": path}


MODULE = Module(name="tempfile", args=Args, plan=plan)
