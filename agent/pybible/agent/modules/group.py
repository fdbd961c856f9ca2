"""group: makes sure that a group is, or is not, on the host."""

from __future__ import annotations

import grp
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonObject

LOCAL_FILE = Path("/etc/group")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of group."""

    name: str = arg(doc="the group's name")
    gid: int | None = arg(default=None, doc="the group's number")
    state: Literal["absent", "present"] = arg(default="present", doc="whether it is to be there")
    force: bool = arg(default=False, doc="remove it even when it is somebody's primary group")
    system: bool = arg(default=False, doc="make a system group")
    local: bool = arg(default=False, doc="use the programs for local groups, whatever the name service says")
    non_unique: bool = arg(default=False, doc="allow a number that another group has")
    gid_min: int | None = arg(default=None, doc="lowest number for a new group, over /etc/login.defs")
    gid_max: int | None = arg(default=None, doc="highest number for a new group, over /etc/login.defs")


def plan(args: Args, context: Context) -> Plan:
    """Compare the host's groups with what is asked."""
    if args.force and args.local:
        raise ModuleError("force is not a valid option for local, force=True and local=True are mutually exclusive")
    if args.local:
        for name in ("gid_min", "gid_max"):
            if getattr(args, name) is not None:
                raise ModuleError(f"'{name}' can not be used with 'local'")
    found = lookup(args)
    if args.state == "absent":
        if found is None:
            return Unchanged(values={"name": args.name, "state": "absent"})
        program = need("lgroupdel" if args.local else "groupdel", context)
        words = [program, *(["-f"] if args.force else []), args.name]
        return Change(apply=partial(_run, args, context, words))
    if found is None:
        return Change(apply=partial(_run, args, context, _creation(args, context)))
    values = _values(args, found)
    if args.gid is None or args.gid == found:
        return Unchanged(values=values)
    if args.local and not args.non_unique:
        _refuse_taken(args.gid)
    words = [need("lgroupmod" if args.local else "groupmod", context), "-g", str(args.gid)]
    if args.non_unique:
        words.append("-o")
    return Change(values=values, apply=partial(_run, args, context, [*words, args.name]))


def lookup(args: Args) -> int | None:
    """Return the group's number, None when there is no such group."""
    if args.local:
        for line in LOCAL_FILE.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            fields = line.split(":")
            if fields[0] == args.name and len(fields) > 2:
                return int(fields[2])
        return None
    try:
        return grp.getgrnam(args.name).gr_gid
    except KeyError:
        return None


def _refuse_taken(gid: int) -> None:
    try:
        name = grp.getgrgid(gid).gr_name
    except KeyError:
        return
    raise ModuleError(f"GID '{gid}' already exists with group '{name}'")


def _creation(args: Args, context: Context) -> list[str]:
    if args.local and args.gid is not None and not args.non_unique:
        _refuse_taken(args.gid)
    words = [need("lgroupadd" if args.local else "groupadd", context)]
    if args.gid is not None:
        words += ["-g", str(args.gid)]
        if args.non_unique:
            words.append("-o")
    if args.system:
        words.append("-r")
    for name, value in (("GID_MIN", args.gid_min), ("GID_MAX", args.gid_max)):
        if value is not None:
            words += ["-K", f"{name}={value}"]
    return [*words, args.name]


def _values(args: Args, gid: int) -> JsonObject:
    return {"name": args.name, "state": args.state, "system": args.system, "gid": gid}


def _run(args: Args, context: Context, words: list[str]) -> JsonObject:
    done = call(words, context)
    if done.rc:
        raise ModuleError(done.stderr, name=args.name)
    found = lookup(args) if args.state == "present" else None
    result: JsonObject = {"name": args.name, "state": args.state} if found is None else _values(args, found)
    for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        if text:
            result[name] = text
    return result


MODULE = Module(name="group", args=Args, plan=plan, required_if=(("non_unique", True, ("gid",)),))
