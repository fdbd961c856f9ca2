"""firewall: firewalld through its own programs: the running one, or its files when it does not run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import Answer, call, locate, need
from pybible.wire.values import JsonObject, JsonValue

# What only the other program has: there the option is that of an old tool.
_OFFLINE_NAMES = {"--remove-service": "--remove-service-from-zone"}
_YES = "yes"
_KEY = re.compile(r"^  ([a-z][a-z -]*): ?(.*)$")
_LISTS = ("interfaces", "sources", "services", "protocols", "icmp-blocks")
_PAIRS = ("ports", "source-ports")
_SWITCHES = ("icmp-block-inversion", "forward", "masquerade")


@dataclass(frozen=True, slots=True)
class Firewall:
    """The firewall of this host. `running`: whether firewalld is, and takes changes of the moment."""

    program: str
    running: bool
    context: Context

    def ask(self, *words: str, permanent: bool) -> Answer:
        """Call the program about what is permanent, or about the moment."""
        line = [self.program]
        if self.running and permanent:
            line.append("--permanent")
        if not self.running:
            words = tuple(_offline(word) for word in words)
        return call([*line, *words], self.context, also={"LC_ALL": "C"})

    def tell(self, *words: str, permanent: bool) -> str:
        """Call it and return what it says. ModuleError, with its words, when it refuses."""
        answer = self.ask(*words, permanent=permanent)
        if answer.rc:
            raise ModuleError(f"ERROR: Exception caught: {reason(answer)}")
        return answer.stdout.strip()

    def has(self, *words: str, permanent: bool) -> bool:
        """Ask whether something is so. ModuleError when that can't be asked."""
        answer = self.ask(*words, permanent=permanent)
        if answer.rc > 1 or (answer.rc == 1 and answer.stderr.strip() and answer.stdout.strip() not in ("no", "")):
            raise ModuleError(f"ERROR: Exception caught: {reason(answer)}")
        return answer.rc == 0


def _offline(word: str) -> str:
    name, separator, value = word.partition("=")
    return f"{_OFFLINE_NAMES.get(name, name)}{separator}{value}"


def reason(answer: Answer) -> str:
    """Return why the program refused."""
    lines = (answer.stderr or answer.stdout).strip().splitlines() or [""]
    return lines[-1].removeprefix("Error: ")


def find(context: Context) -> Firewall:
    """Return this host's firewall. ModuleError when it has none."""
    program = need("firewall-cmd", context)
    if call([program, "--state"], context).rc == 0:
        return Firewall(program, True, context)
    return Firewall(locate("firewall-offline-cmd", context) or program, False, context)


def parse_zone(text: str) -> JsonObject:
    """Read what `--list-all` prints of one zone, into the shape of firewalld_info."""
    values: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if found := _KEY.match(line):
            name = found[1]
            values[name] = [found[2]] if found[2].strip() else []
        elif name and line.strip():
            values[name].append(line.strip())
    zone: JsonObject = {"target": _first(values, "target") or "default"}
    for key in _LISTS:
        zone[_spelled(key)] = _first(values, key).split()
    for key in _PAIRS:
        zone[_spelled(key)] = [list(port.split("/", 1)) for port in _first(values, key).split()]
    for key in _SWITCHES:
        zone[_spelled(key)] = _first(values, key) == _YES
    zone["forward_ports"] = [forward_port(item) for line in values.get("forward-ports", []) for item in line.split()]
    zone["rich_rules"] = list(values.get("rich rules", []))
    return zone


def _first(values: dict[str, Sequence[str]] | dict[str, list[str]], name: str) -> str:
    found = values.get(name) or [""]
    return found[0].strip()


def _spelled(key: str) -> str:
    return key.replace("-", "_")


def forward_port(text: str) -> list[JsonValue]:
    """Return port, protocol, port and address to which it goes of `port=..:proto=..:toport=..:toaddr=..`."""
    pattern = r"port=([^:]*):proto=([^:]*):toport=([^:]*):toaddr=(.*)"
    found = re.fullmatch(pattern, text)
    return list(found.groups()) if found else [text]
