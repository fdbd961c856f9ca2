"""gather: which collectors a task asks for, run once each, and which of their facts it gets."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from pybible.agent.facts import (
    boot,
    date_time,
    distribution,
    fabric,
    local,
    naming,
    network,
    packages,
    platform,
    process,
    security,
    services,
    storage,
    virtual,
)
from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject

COLLECTORS: tuple[Collector, ...] = (
    platform.COLLECTOR,
    distribution.COLLECTOR,
    packages.COLLECTOR,
    services.COLLECTOR,
    date_time.COLLECTOR,
    process.ENVIRONMENT,
    process.USER,
    process.PYTHON,
    security.SELINUX,
    security.APPARMOR,
    security.FIPS,
    security.CAPABILITIES,
    boot.COMMAND_LINE,
    naming.DNS,
    naming.LSB,
    naming.SSH_KEYS,
    local.COLLECTOR,
    boot.LOAD,
    boot.CHROOT,
    network.COLLECTOR,
    storage.COLLECTOR,
    virtual.COLLECTOR,
    fabric.FIBRE_CHANNEL,
    fabric.ISCSI,
    fabric.NVME,
)

# Words that are allowed and, without the programs or services behind them, gather nothing.
_EMPTY = ("facter", "ohai", "systemd")


class UnknownSubset(ValueError):
    """A subset that nobody knows; `known` are all that there are."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(name)
        self.name = name
        self.known = known


def choose(subsets: Sequence[str]) -> list[Collector]:
    """Return the collectors that a list of subsets means, in their own order. UnknownSubset."""
    named = _named()
    minimal = {collector.name for collector in COLLECTORS if collector.minimal}
    everything = {collector.name for collector in COLLECTORS}
    added: set[str] = set()
    removed: set[str] = set()
    for word in subsets:
        if word == "min":
            added |= minimal
        elif word == "!min":
            removed |= minimal
        elif word == "!all":
            removed |= everything - minimal
        elif word == "all":
            added |= everything
        else:
            name = word.removeprefix("!")
            if word == name and name not in named and name not in _EMPTY:
                raise UnknownSubset(name, sorted({*named, *_EMPTY, "all"}))
            (removed if word != name else added).update(named.get(name, ()))
    explicit = {name for word in subsets if word not in ("all", "min") for name in named.get(word, ())}
    chosen = added if added else set(everything) if not subsets else set()
    chosen = ((chosen | minimal) - removed) | explicit
    needed = {name for collector in COLLECTORS if collector.name in chosen for name in collector.needs}
    return [collector for collector in COLLECTORS if collector.name in chosen | needed]


def _named() -> dict[str, set[str]]:
    named: dict[str, set[str]] = {}
    for collector in COLLECTORS:
        for name in (collector.name, *collector.subsets):
            named.setdefault(name, set()).add(collector.name)
    return named


def gather(host: Host, subsets: Sequence[str], patterns: Iterable[str]) -> JsonObject:
    """Return the facts, named as Ansible injects them. A collector that fails leaves its own facts out."""
    facts: JsonObject = {}
    for collector in choose(subsets):
        try:
            found = collector.collect(host)
        except (OSError, ValueError, LookupError):
            continue
        facts.update({f"ansible_{name}": value for name, value in found.items()})
    facts["gather_subset"] = list(subsets)
    facts["module_setup"] = True
    wanted = [pattern for pattern in patterns if pattern]
    if not wanted:
        return facts
    return {
        name: value
        for name, value in facts.items()
        if any(fnmatch.fnmatch(name, shape) for pattern in wanted for shape in (pattern, f"ansible_{pattern}"))
    }
