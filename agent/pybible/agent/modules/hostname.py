"""hostname: sets the host's name, now and for the next boot."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Diff, FileAttributes, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.files import beside, replace
from pybible.agent.modules.programs import call, locate, need
from pybible.wire.values import JsonObject

_LONGEST = 64
_FILE = Path("/etc/hostname")
_Use = Literal[
    "alpine", "debian", "freebsd", "generic", "macos", "macosx", "darwin", "openbsd", "openrc", "redhat", "sles",
    "solaris", "systemd",
]  # fmt: skip
_BY_FILE = ("alpine", "debian", "generic", "sles")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of hostname."""

    name: str = arg(doc="the name")
    use: _Use | None = arg(default=None, doc="the way to set it; found out when not said")


def plan(args: Args, context: Context) -> Plan:
    """Compare the names of now and of the next boot with the one that is asked for."""
    way = args.use or ("systemd" if Path("/run/systemd/system").is_dir() else "debian")
    if way not in (*_BY_FILE, "systemd"):
        raise ModuleError(f"hostname: the way '{way}' is for another system than this one")
    if way == "systemd" and len(args.name) > _LONGEST:
        raise ModuleError("name cannot be longer than 64 characters on systemd servers, try a shorter name")
    now = socket.gethostname()
    later = _permanent(way, context)
    values: JsonObject = {"name": args.name, "ansible_facts": _facts(args.name)}
    if now == args.name and later == args.name:
        return Unchanged(values=values)
    before = later if later != args.name else now
    diff = Diff(f"hostname = {before}\n", f"hostname = {args.name}\n")
    return Change(values=values, diff=diff, apply=partial(_set, args, context, way, now, later))


def _permanent(way: str, context: Context) -> str:
    if way == "systemd":
        done = call([need("hostnamectl", context), "--static", "status"], context)
        if done.rc:
            raise ModuleError(f"Command failed rc={done.rc}, out={done.stdout}, err={done.stderr}")
        return done.stdout.strip()
    return _FILE.read_text(encoding="utf-8").strip() if _FILE.exists() else ""


def _facts(name: str) -> JsonObject:
    return {
        "ansible_hostname": name.partition(".")[0],
        "ansible_nodename": name,
        "ansible_fqdn": socket.getfqdn(),
        "ansible_domain": ".".join(socket.getfqdn().split(".")[1:]),
    }


def _set(args: Args, context: Context, way: str, now: str, later: str) -> None:
    if way == "systemd":
        commands = [
            [need("hostnamectl", context), kind, "set-hostname", args.name]
            for kind, current in (("--transient", now), ("--static", later))
            if current != args.name
        ]
    else:
        if later != args.name:
            with beside(str(_FILE)) as temporary:
                Path(temporary).write_text(f"{args.name}\n", encoding="utf-8")
                replace(temporary, str(_FILE), FileAttributes(), mode=0o644)
        program = locate("hostname", context)
        commands = [[program, args.name]] if program is not None and now != args.name else []
    for words in commands:
        done = call(words, context)
        if done.rc:
            raise ModuleError(f"Command failed rc={done.rc}, out={done.stdout}, err={done.stderr}")


MODULE = Module(name="hostname", args=Args, plan=plan)
