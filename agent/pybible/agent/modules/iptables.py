"""iptables: adds and removes rules of the kernel's packet filter, makes chains, and sets their policies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, must, need
from pybible.wire.values import JsonObject, JsonValue

_PROGRAMS = {"ipv4": ("iptables",), "ipv6": ("ip6tables",), "both": ("iptables", "ip6tables")}
_VERSION = re.compile(r"v(\d+)\.(\d+)(?:\.(\d+))?")
_POLICY = re.compile(r"^Chain \S+ \(policy (\w+)", re.MULTILINE)
# From this on the programs can wait a number of seconds for the lock.
_WAITS_SECONDS = (1, 6, 0)
_NEGATED = "!"
_FLAGS = ("flags", "flags_set")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of iptables."""

    table: Literal["filter", "nat", "mangle", "raw", "security"] = arg(default="filter", doc="the table")
    state: Literal["absent", "present"] = arg(default="present", doc="whether the rule is to be there")
    action: Literal["append", "insert"] = arg(default="append", doc="where a new rule goes")
    ip_version: Literal["ipv4", "ipv6", "both"] = arg(default="ipv4", doc="iptables, ip6tables, or both")
    chain: str | None = arg(default=None, doc="the chain")
    rule_num: str | None = arg(default=None, doc="number at which a rule is inserted")
    protocol: str | None = arg(default=None, doc="protocol of the packets")
    wait: str | None = arg(default=None, doc="seconds to wait for another program that has the lock")
    source: str | None = arg(default=None, doc="address or network they come from")
    to_source: str | None = arg(default=None, doc="source address that SNAT sets")
    destination: str | None = arg(default=None, doc="address or network they go to")
    to_destination: str | None = arg(default=None, doc="destination that DNAT sets")
    match: list[str] = arg(default_factory=list, doc="extensions that are loaded, in order")
    tcp_flags: dict[str, JsonValue] | None = arg(default=None, doc="`flags` to look at, and `flags_set` of them")
    jump: str | None = arg(default=None, doc="target of the rule")
    gateway: str | None = arg(default=None, doc="host that TEE sends copies to")
    log_prefix: str | None = arg(default=None, doc="text that LOG puts before its lines")
    log_level: (
        Literal[
            "0", "1", "2", "3", "4", "5", "6", "7", "emerg", "alert", "crit", "error", "warning", "notice", "info",
            "debug",
        ]
        | None
    ) = arg(default=None, doc="level of LOG")  # fmt: skip
    goto: str | None = arg(default=None, doc="chain to go on in, without a way back")
    in_interface: str | None = arg(default=None, doc="interface they come in by")
    out_interface: str | None = arg(default=None, doc="interface they go out by")
    fragment: str | None = arg(default=None, doc="only further fragments")
    set_counters: str | None = arg(default=None, doc="packets and bytes that a new rule has counted")
    source_port: str | None = arg(default=None, doc="port or range they come from")
    destination_port: str | None = arg(default=None, doc="port or range they go to")
    destination_ports: list[str] = arg(default_factory=list, doc="several of these")
    to_ports: str | None = arg(default=None, doc="ports that REDIRECT and MASQUERADE set")
    set_dscp_mark: str | None = arg(default=None, doc="mark that DSCP sets")
    set_dscp_mark_class: str | None = arg(default=None, doc="class of marks that DSCP sets")
    comment: str | None = arg(default=None, doc="text that stays with the rule")
    ctstate: list[str] = arg(default_factory=list, doc="states of the connection")
    src_range: str | None = arg(default=None, doc="range of addresses they come from")
    dst_range: str | None = arg(default=None, doc="range of addresses they go to")
    match_set: str | None = arg(default=None, doc="set of ipset")
    match_set_flags: Literal["src", "dst", "src,dst", "dst,src", "src,src", "dst,dst"] | None = arg(
        default=None, doc="what is looked up in the set"
    )
    limit: str | None = arg(default=None, doc="rate at most")
    limit_burst: str | None = arg(default=None, doc="how many before that rate counts")
    uid_owner: str | None = arg(default=None, doc="user whose packets they are")
    gid_owner: str | None = arg(default=None, doc="group whose packets they are")
    reject_with: str | None = arg(default=None, doc="answer of REJECT")
    icmp_type: str | None = arg(default=None, doc="type of ICMP")
    syn: Literal["ignore", "match", "negate"] = arg(default="ignore", doc="packets that open a connection")
    flush: bool = arg(default=False, doc="remove all rules of the chain, or of the table")
    policy: Literal["ACCEPT", "DROP", "QUEUE", "RETURN"] | None = arg(default=None, doc="policy of the chain")
    chain_management: bool = arg(default=False, doc="make or remove the chain itself when there is no rule")
    numeric: bool = arg(default=False, doc="list without looking names up")


@dataclass(slots=True)
class Rule:
    """The words of a rule as they come together. A value that begins with ! means the opposite."""

    words: list[str] = field(default_factory=list)

    def add(self, value: str | None, option: str) -> None:
        """Add an option with its value, if there is one."""
        if value:
            negated = value.startswith(_NEGATED)
            self.words += [_NEGATED] * negated + [option, value[1:] if negated else value]

    def load(self, name: str, *values: object) -> None:
        """Load an extension when there is any of its values."""
        if any(values):
            self.words += ["-m", name]


def rule_of(args: Args, jump: str | None) -> list[str]:
    """Return the words of the rule. ModuleError where arguments don't go together."""
    rule = Rule()
    for value, option in ((args.protocol, "-p"), (args.source, "-s"), (args.destination, "-d")):
        rule.add(value, option)
    for name in args.match:
        rule.load(name, True)
    rule.words += _tcp_flags(args.tcp_flags)
    rule.add(jump, "-j")
    if jump and jump.lower() == "tee":
        rule.add(args.gateway, "--gateway")
    rule.add(args.log_prefix, "--log-prefix")
    rule.add(args.log_level, "--log-level")
    rule.add(args.to_destination, "--to-destination")
    rule.load("multiport", args.destination_ports)
    rule.add(",".join(args.destination_ports), "--dports")
    for value, option in (
        (args.to_source, "--to-source"), (args.goto, "-g"), (args.in_interface, "-i"), (args.out_interface, "-o"),
        (args.fragment, "-f"), (args.set_counters, "-c"), (args.source_port, "--source-port"),
        (args.destination_port, "--destination-port"), (args.to_ports, "--to-ports"),
        (args.set_dscp_mark, "--set-dscp"), (args.set_dscp_mark_class, "--set-dscp-class"),
    ):  # fmt: skip
        rule.add(value, option)
    rule.words += {"match": ["--syn"], "negate": [_NEGATED, "--syn"]}.get(args.syn, [])
    _matches(args, rule)
    rule.add(args.reject_with, "--reject-with")
    rule.add(args.icmp_type, "--icmp-type")
    rule.load("comment", args.comment)
    rule.words += ["--comment", args.comment] if args.comment else []
    return rule.words


def _matches(args: Args, rule: Rule) -> None:
    """Add what extensions match by; a `match` may have loaded them already."""
    if "conntrack" in args.match or "state" not in args.match:
        if "conntrack" not in args.match:
            rule.load("conntrack", args.ctstate)
        rule.add(",".join(args.ctstate), "--ctstate")
    else:
        rule.add(",".join(args.ctstate), "--state")
    if "iprange" not in args.match:
        rule.load("iprange", args.src_range, args.dst_range)
    rule.add(args.src_range, "--src-range")
    rule.add(args.dst_range, "--dst-range")
    if args.match_set:
        if args.match_set_flags is None:
            raise ModuleError("match_set needs match_set_flags")
        if "set" not in args.match:
            rule.load("set", True)
        rule.add(args.match_set, "--match-set")
        rule.words.append(args.match_set_flags)
    rule.load("limit", args.limit, args.limit_burst)
    rule.add(args.limit, "--limit")
    rule.add(args.limit_burst, "--limit-burst")
    for value, option in ((args.uid_owner, "--uid-owner"), (args.gid_owner, "--gid-owner")):
        rule.load("owner", value)
        rule.add(value, option)


def _tcp_flags(flags: dict[str, JsonValue] | None) -> list[str]:
    if flags is None:
        return []
    unknown = sorted(set(flags) - set(_FLAGS))
    if unknown:
        names = ", ".join(f"tcp_flags.{name}" for name in unknown)
        text = f"Unsupported parameters for ({MODULE.name}) module: {names}. Supported parameters include: "
        raise ModuleError(text + "flags, flags_set.")
    given: list[str] = []
    for name in _FLAGS:
        values = flags.get(name)
        listed = values.split(",") if isinstance(values, str) else values
        if not isinstance(listed, Sequence) or not listed:
            raise ModuleError(f"tcp_flags needs {name}")
        given.append(",".join(str(value) for value in listed))
    return ["--tcp-flags", *given]


@dataclass(frozen=True, slots=True)
class Table:
    """One of the two programs, on one table."""

    args: Args
    context: Context
    program: str
    waits: bool

    def words(self, verb: str, *more: str, number: str | None = None) -> list[str]:
        """Return a command on the chain, at a number of it."""
        place = [word for word in (self.args.chain, number) if word]
        wait = ["-w", str(self.args.wait)] if self.waits and self.args.wait else []
        return [self.program, "-t", self.args.table, verb, *place, *wait, *more]


def plan(args: Args, context: Context) -> Plan:
    """Ask iptables what is there."""
    jump = _jump(args)
    # As the stock module shows it: without the target that options of LOG imply.
    shown = " ".join(rule_of(args, args.jump if jump == "LOG" else jump))
    values: JsonObject = {name: getattr(args, name) for name in ("ip_version", "table", "chain", "flush", "state")}
    values |= {"rule": shown, "chain_management": args.chain_management, "wait": args.wait, "failed": False}
    rule = rule_of(args, jump) if shown else []
    changed = False
    commands: list[list[str]] = []
    for name in _PROGRAMS[args.ip_version]:
        found = need(name, context)
        version = _VERSION.search(must([found, "--version"], context).stdout)
        number = tuple(int(part or 0) for part in version.groups()) if version else _WAITS_SECONDS
        table = Table(args, context, found, number >= _WAITS_SECONDS)
        for command in _changes(table, rule):
            changed = True
            commands += [command] if command else []
    if not changed:
        return Unchanged(values=values)
    return Change(values=values, apply=partial(_apply, commands, context))


def _jump(args: Args) -> str | None:
    logs = args.log_prefix is not None or args.log_level is not None
    if logs and args.jump is None:
        return "LOG"
    if logs and args.jump != "LOG":
        raise ModuleError("Logging options can only be used with the LOG jump target.")
    return "REJECT" if args.jump is None and args.reject_with is not None else args.jump


def _changes(table: Table, rule: list[str]) -> Iterator[list[str]]:
    """Give the commands that are needed; an empty one is a change that the stock module tells of and does not make."""
    args, context = table.args, table.context
    numeric = ["--numeric"] if args.numeric else []
    if args.flush:
        yield table.words("-F")
    elif args.policy is not None:
        found = _POLICY.search(must(table.words("-L", *numeric), context).stdout)
        if found is None:
            raise ModuleError("Can't detect current policy")
        if found[1] != args.policy:
            yield table.words("-P", args.policy)
    elif not rule:
        there = call(table.words("-L", *numeric), context).rc == 0
        if there is not (args.state == "present"):
            yield table.words("-N" if args.state == "present" else "-X") if args.chain_management else []
    else:
        there = call(table.words("-C", *rule), context).rc == 0
        if there and args.state == "absent":
            yield table.words("-D", *rule)
        elif not there and args.state == "present":
            inserted = args.action == "insert"
            yield table.words("-I" if inserted else "-A", *rule, number=args.rule_num if inserted else None)


def _apply(commands: list[list[str]], context: Context) -> None:
    for words in commands:
        must(words, context)


MODULE = Module(
    name="iptables",
    args=Args,
    plan=plan,
    mutually_exclusive=(("set_dscp_mark", "set_dscp_mark_class"), ("flush", "policy")),
    required_by=(("set_dscp_mark", ("jump",)), ("set_dscp_mark_class", ("jump",))),
    required_if=(("jump", "TEE", ("gateway",)), ("jump", "tee", ("gateway",)), ("flush", False, ("chain",))),
)
