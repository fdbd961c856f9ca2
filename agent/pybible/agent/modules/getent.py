"""getent: asks the host's name service, and gives the answer as facts."""

from __future__ import annotations

from dataclasses import dataclass

from pybible.agent.modules.api import Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonObject

_COLONS = ("passwd", "shadow", "group", "gshadow")
_FAILURES = {
    1: "Missing arguments, or database unknown.",
    2: "One or more supplied key could not be found in the database.",
    3: "Enumeration not supported on this database.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of getent."""

    database: str = arg(doc="passwd, group, hosts, services, ...")
    key: str | None = arg(default=None, doc="what to look up; all when there is none")
    service: str | None = arg(default=None, doc="the source that is asked, of those in nsswitch.conf")
    split: str | None = arg(default=None, doc="what separates fields")
    fail_key: bool = arg(default=True, doc="fail when the key is not found")


def plan(args: Args, context: Context) -> Plan:
    """Ask; nothing is ever to change."""
    words = [need("getent", context), args.database]
    if args.key is not None:
        words.append(args.key)
    if args.service is not None:
        words += ["-s", args.service]
    done = call(words, context)
    fact = f"getent_{args.database}"
    if done.rc == 0:
        split = args.split or (":" if args.database in _COLONS else None)
        return Unchanged(values={"ansible_facts": {fact: parse(done.stdout, split)}})
    msg = _FAILURES.get(done.rc, "Unexpected failure!")
    if done.rc == 2 and not args.fail_key:
        return Unchanged(values={"ansible_facts": {fact: {args.key: None}}, "msg": msg})
    raise ModuleError(msg)


def parse(text: str, split: str | None) -> JsonObject:
    """Return the lines as key -> further fields; a key with several lines has a list of each."""
    found: JsonObject = {}
    several: set[str] = set()
    for line in text.splitlines():
        fields = line.split(split)
        if not fields:
            continue
        key, values = fields[0], list(fields[1:])
        if key not in found:
            found[key] = values
        elif key in several:
            found[key].append(values)
        else:
            found[key] = [found[key], values]
            several.add(key)
    return found


MODULE = Module(name="getent", args=Args, plan=plan)
