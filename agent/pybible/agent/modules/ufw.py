"""ufw: adds and removes rules of ufw, sets its defaults and its logging, and switches it on and off."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.agent.modules.rewrite import lines_of, read_text
from pybible.wire.values import JsonObject

# Where versions of ufw keep the rules that users made.
_FOLDERS = tuple(map(Path, ("/lib/ufw", "/etc/ufw", "/var/lib/ufw")))
_FAMILIES = {"ipv4": "user.rules", "ipv6": "user6.rules"}
_TUPLE = "### tuple"
_CHAINS = {"ipv4": ":ufw-user-input ", "ipv6": ":ufw6-user-input "}
_NUMBERED = re.compile(r"^\[ *(\d+)\] ")
_DEFAULTS = re.compile(r"^Default: (\w+) \(incoming\), (\w+) \(outgoing\)(?:, (\w+) \(routed\))?", re.MULTILINE)
_LOGGING = re.compile(r"^Logging: (?:(off)|on(?: \((\w+)\))?)", re.MULTILINE)
_VERSION = re.compile(r"^ufw (\d+)\.(\d+)", re.MULTILINE)
_STATES = {"enabled": "enable", "disabled": "disable", "reloaded": "reload", "reset": "reset"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of ufw."""

    state: Literal["enabled", "disabled", "reloaded", "reset"] | None = arg(default=None, doc="what ufw is to do")
    default: Literal["allow", "deny", "reject"] | None = arg(
        default=None, aliases=("policy",), doc="what becomes of packets for which there is no rule"
    )
    logging: Literal["full", "high", "low", "medium", "off", "on"] | None = arg(default=None, doc="how much is logged")
    direction: Literal["in", "incoming", "out", "outgoing", "routed"] | None = arg(
        default=None, doc="which packets: `in`, `out` for a rule, the others for a default"
    )
    delete: bool = arg(default=False, doc="remove the rule")
    route: bool = arg(default=False, doc="the rule is for packets that are passed on")
    insert: int | None = arg(default=None, doc="the rule's number; the first is 1")
    insert_relative_to: Literal["zero", "first-ipv4", "last-ipv4", "first-ipv6", "last-ipv6"] = arg(
        default="zero", doc="from where `insert` counts"
    )
    rule: Literal["allow", "deny", "limit", "reject"] | None = arg(default=None, doc="what a rule does")
    interface: str | None = arg(default=None, aliases=("if",), doc="interface, together with `direction`")
    interface_in: str | None = arg(default=None, aliases=("if_in",), doc="interface by which packets come")
    interface_out: str | None = arg(default=None, aliases=("if_out",), doc="interface by which packets go")
    log: bool = arg(default=False, doc="log new connections of the rule")
    from_ip: str = arg(default="any", aliases=("from", "src"), doc="address or network they come from")
    from_port: str | None = arg(default=None, doc="port they come from")
    to_ip: str = arg(default="any", aliases=("dest", "to"), doc="address or network they go to")
    to_port: str | None = arg(default=None, aliases=("port",), doc="port they go to")
    proto: Literal["ah", "any", "esp", "ipv6", "tcp", "udp", "gre", "igmp", "vrrp"] | None = arg(
        default=None, aliases=("protocol",), doc="their protocol"
    )
    name: str | None = arg(default=None, aliases=("app",), doc="profile of an application")
    comment: str | None = arg(default=None, doc="text that stays with the rule")


@dataclass(frozen=True, slots=True)
class Firewall:
    """The host's ufw: its program, and what it was asked."""

    program: str
    context: Context
    asked: list[str]

    def __call__(self, *words: str) -> str:
        """Ask it. ModuleError when it refuses."""
        self.asked.append(" ".join([self.program, *words]))
        done = call([self.program, *words], self.context, also={"LANG": "C", "LC_ALL": "C"})
        if done.rc:
            raise ModuleError(done.stderr or done.stdout, commands=list(self.asked))
        return done.stdout

    def status(self) -> str:
        """Return what it says of itself."""
        return self("status", "verbose").rstrip()


def plan(args: Args, context: Context) -> Plan:
    """Check what is asked; in check mode, compare it with what ufw says."""
    _check(args)
    ufw = Firewall(need("ufw", context), context, [])
    before = ufw.status()
    if not context.check:
        return Change(changed=False, apply=partial(_apply, args, ufw, before))
    changed = [
        args.state is not None and _state_differs(args.state, before),
        args.default is not None and default_differs(args.default, args.direction, before),
        args.rule is not None and _rule_differs(ufw("--dry-run", *_rule_words(args, ufw))),
        args.logging is not None and logging_differs(args.logging, before),
    ]
    values: JsonObject = {"commands": list(ufw.asked)}
    return Change(values=values, apply=lambda: None) if any(changed) else Unchanged(values=values)


def _check(args: Args) -> None:
    if args.default is not None and args.direction not in (None, "outgoing", "incoming", "routed"):
        raise ModuleError(
            'For default, direction must be one of "outgoing", "incoming" and "routed", or direction must not be '
            "specified."
        )
    if args.rule is not None and args.direction not in (None, "in", "out"):
        raise ModuleError('For rules, direction must be one of "in" and "out", or direction must not be specified.')
    if args.rule is not None and not args.route and args.interface_in and args.interface_out:
        raise ModuleError("Only route rules can combine interface_in and interface_out")


def _apply(args: Args, ufw: Firewall, before: str) -> JsonObject:
    rules = _rules()
    changed = args.state in ("reloaded", "reset")
    if args.state is not None:
        ufw("-f", _STATES[args.state])
    if args.default is not None:
        ufw("default", args.default, *([args.direction] if args.direction else []))
    if args.rule is not None:
        ufw(*_rule_words(args, ufw))
    if args.logging is not None:
        changed |= logging_differs(args.logging, before)
        ufw("logging", args.logging)
    after = ufw.status()
    changed |= after != before or _rules() != rules
    return {"changed": changed, "commands": list(ufw.asked), "msg": after}


def _rule_words(args: Args, ufw: Firewall) -> list[str]:
    """Return the command for the rule."""
    words = ["route"] if args.route else []
    if args.delete:
        words.append("delete")
    elif args.insert is not None and (number := _number(args, ufw)) is not None:
        words += ["insert", str(number)]
    words.append(str(args.rule))
    if args.direction:
        words.append(args.direction)
    if args.interface:
        words += ["on", args.interface]
    for way, interface in (("in", args.interface_in), ("out", args.interface_out)):
        if interface:
            words += [way, "on", interface]
    if args.log:
        words.append("log")
    words += ["from", args.from_ip, *(["port", args.from_port] if args.from_port else [])]
    words += ["to", args.to_ip, *(["port", args.to_port] if args.to_port else [])]
    for option, value in (("proto", args.proto), ("app", args.name)):
        if value:
            words += [option, value]
    if args.comment:
        version = _VERSION.search(ufw("--version"))
        if version is None or (int(version[1]), int(version[2])) >= (0, 35):
            words += ["comment", args.comment]
    return words


def _number(args: Args, ufw: Firewall) -> int | None:
    insert = args.insert or 0
    if args.insert_relative_to == "zero":
        return insert
    first, second = count_rules(ufw("status", "numbered"))
    number = (
        insert
        + {
            "first-ipv4": 1,
            "last-ipv4": max(first, 1),
            "first-ipv6": first + 1,
            "last-ipv6": first + max(second, 1),
        }[args.insert_relative_to]
    )
    # Behind the last rule nothing can be inserted: there a rule is added.
    return number if number <= first + second else None


def count_rules(listing: str) -> tuple[int, int]:
    """Return how many rules `ufw status numbered` lists: of IPv4, of IPv6."""
    rules = [line for line in listing.splitlines() if _NUMBERED.match(line)]
    second = sum("(v6)" in line for line in rules)
    return len(rules) - second, second


def _rules() -> dict[str, list[str]]:
    """Return the rules that users made, by family."""
    texts = {family: [read_text(str(folder / name)) for folder in _FOLDERS] for family, name in _FAMILIES.items()}
    return {family: [line for text in found for line in tuples(text)] for family, found in texts.items()}


def tuples(text: str) -> list[str]:
    """Return the lines of a file of rules that say what a user asked for."""
    return [line for line in lines_of(text) if line.startswith(_TUPLE)]


def dry_rules(output: str) -> dict[str, list[str]]:
    """Return the rules that `ufw --dry-run` would write, of the families that it would write at all."""
    found: dict[str, list[str]] = {}
    for part in output.split("*filter\n")[1:]:
        for family, chain in _CHAINS.items():
            if chain in part:
                found[family] = tuples(part)
    return found


def _rule_differs(output: str) -> bool:
    current = _rules()
    return any(rules != current[family] for family, rules in dry_rules(output).items())


def _is_active(status: str) -> bool:
    return "Status: active" in status.splitlines()


def _state_differs(state: str, status: str) -> bool:
    return state in ("reloaded", "reset") or _is_active(status) is (state == "disabled")


def default_differs(policy: str, direction: str | None, status: str) -> bool:
    """Compare with the line of defaults. A firewall that is off does not tell its own."""
    found = _DEFAULTS.search(status)
    if found is None:
        return True
    incoming, outgoing, routed = found.groups()
    current = {"outgoing": outgoing, "routed": routed}.get(direction or "incoming", incoming)
    return current not in (policy, "disabled")


def logging_differs(level: str, status: str) -> bool:
    """Compare with the line of logging; `on` is any level. A firewall that is off does not tell its own."""
    found = _LOGGING.search(status)
    if found is None:
        return True
    if found[1] or level == "off":
        return (found[1] == "off") is not (level == "off")
    return level not in ("on", found[2])


MODULE = Module(
    name="community.general.ufw",
    args=Args,
    plan=plan,
    mutually_exclusive=(("name", "proto", "logging"), ("direction", "interface_in"), ("direction", "interface_out")),
    required_one_of=(("state", "default", "rule", "logging"),),
    required_by=(("interface", ("direction",)),),
)
