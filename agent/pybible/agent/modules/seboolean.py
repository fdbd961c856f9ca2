"""seboolean: switches a boolean of SELinux's policy on or off."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from pybible.agent.modules import selinux_context
from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, locate, must, need
from pybible.wire.values import JsonObject

_ACTIVE = re.compile(r"^(\S+) --> (on|off)$", re.MULTILINE)
_STORED = re.compile(r"^(\S+)\s+\((on|off)\s*,\s*(on|off)\)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of seboolean."""

    name: str = arg(doc="the boolean")
    state: bool = arg(doc="what it is to be")
    persistent: bool = arg(default=False, doc="after the next boot too")
    ignore_selinux_state: bool = arg(default=False, doc="go on where SELinux seems to be off, as in a chroot")


def plan(args: Args, context: Context) -> Plan:
    """Ask for the boolean: of the kernel, and for later of the stored policy."""
    enabled = selinux_context.is_enabled()
    if not enabled and not args.ignore_selinux_state:
        raise ModuleError("SELinux is disabled on this host.")
    values: JsonObject = {"name": args.name, "persistent": args.persistent, "state": args.state}
    differs = False
    if args.persistent:
        if locate("semanage", context) is None:
            raise ModuleError(f"persistent needs the program semanage, which this host does not have: {args.name}")
        listed = must([need("semanage", context), "boolean", "--list", "--noheading"], context).stdout
        differs = _current(stored(listed), args.name) is not args.state
    if enabled:
        shown = call([need("getsebool", context), args.name], context, also={"LC_ALL": "C"})
        differs |= _current(active(shown.stdout), args.name) is not args.state
    elif not args.persistent:
        raise ModuleError("SELinux is disabled on this host.")
    if not differs:
        return Unchanged(values=values, described=False)
    return Change(values=values, apply=partial(_apply, args, context, enabled=enabled))


def active(text: str) -> dict[str, bool]:
    """Return what getsebool prints: the kernel's booleans."""
    return {name: value == "on" for name, value in _ACTIVE.findall(text)}


def stored(text: str) -> dict[str, bool]:
    """Return what `semanage boolean --list` prints: of each boolean what the next boot makes it."""
    return {name: later == "on" for name, _, later in _STORED.findall(text)}


def _current(found: dict[str, bool], name: str) -> bool:
    if name not in found:
        raise ModuleError(f"SELinux boolean {name} does not exist.")
    return found[name]


def _apply(args: Args, context: Context, *, enabled: bool) -> None:
    value = "on" if args.state else "off"
    if enabled:
        words = [need("setsebool", context), *(["-P"] if args.persistent else []), args.name, value]
    else:
        words = [need("semanage", context), "boolean", "--noreload", "--modify", f"--{value}", args.name]
    done = call(words, context)
    if done.rc:
        raise ModuleError(f"Failed to set boolean {args.name} to {value}: {done.stderr or done.stdout}")


MODULE = Module(name="ansible.posix.seboolean", args=Args, plan=plan)
