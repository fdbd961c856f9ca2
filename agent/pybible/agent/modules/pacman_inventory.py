"""pacman_inventory: what pacman has installed and could install, read from its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import Answer, call, must

ENVIRONMENT = {"LC_ALL": "C"}
# What pacman says when it reads a file, among what it was asked for.
_LOADING = ["loading", "packages..."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Packages: name -> version, groups: name -> packages, upgrades: name -> (version, new version)."""

    installed: dict[str, str]
    installed_groups: dict[str, list[str]]
    available: frozenset[str]
    available_groups: dict[str, list[str]]
    upgrades: dict[str, tuple[str, str]]
    explicit: frozenset[str]

    def reason(self, name: str) -> str:
        """Return why a package is installed: explicit or dependency."""
        return "explicit" if name in self.explicit else "dependency"


@dataclass(frozen=True, slots=True)
class Package:
    """A package's name, and the words by which it was asked for. file: these are a file, or an address."""

    name: str
    source: str
    file: bool = False


def read_inventory(program: str, context: Context, listed: str | None) -> Inventory:
    """Ask pacman. `listed`: its list of what is available, where that is known already."""

    def ask(*words: str) -> str:
        return must([program, *words], context, also=ENVIRONMENT).stdout

    installed = parse_versions(ask("--query"))
    installed_groups = parse_groups(_groups(program, context))
    available = parse_list(ask("--sync", "--list") if listed is None else listed)
    available_groups = parse_groups(ask("--sync", "--groups", "--groups"))
    # Its status is 1 when there are none.
    upgrades = call([program, "--query", "--upgrades"], context, also=ENVIRONMENT)
    if upgrades.rc and upgrades.stdout:
        raise ModuleError("Couldn't list packages that can be upgraded", stdout=upgrades.stdout, stderr=upgrades.stderr)
    return Inventory(
        installed=installed,
        installed_groups=installed_groups,
        available=available,
        available_groups=available_groups,
        upgrades=parse_upgrades(upgrades.stdout),
        explicit=frozenset(parse_versions(call([program, "--query", "--explicit"], context, also=ENVIRONMENT).stdout)),
    )


def _groups(program: str, context: Context) -> str:
    return call([program, "--query", "--groups"], context, also=ENVIRONMENT).stdout


def parse_versions(output: str) -> dict[str, str]:
    """Return name -> version of lines `name version`."""
    pairs = (line.split() for line in output.split("\n"))
    return {words[0]: words[1] for words in pairs if len(words) == 2 and words != _LOADING}


def parse_groups(output: str) -> dict[str, list[str]]:
    """Return group -> packages of lines `group package`."""
    groups: dict[str, list[str]] = {}
    for line in output.split("\n"):
        words = line.split()
        if len(words) == 2:
            groups.setdefault(words[0], []).append(words[1])
    return groups


def parse_list(output: str) -> frozenset[str]:
    """Return the names of lines `repository name version [installed]`."""
    lines = (line.split() for line in output.split("\n"))
    return frozenset(words[1] for words in lines if len(words) >= 3)


def parse_upgrades(output: str) -> dict[str, tuple[str, str]]:
    """Return name -> (version, new version) of lines `name version -> new`, without those that are held back."""
    lines = (line.split() for line in output.split("\n") if "[ignored]" not in line)
    return {words[0]: (words[1], words[3]) for words in lines if len(words) == 4 and words[2] == "->"}


def packages(
    names: Sequence[str], inventory: Inventory, program: str, context: Context, *, absent: bool
) -> list[Package]:
    """Return the packages that names mean: a group's all, what provides a name, what is in a file."""
    found: list[Package] = []
    groups = inventory.installed_groups if absent else inventory.available_groups
    known = inventory.installed.keys() if absent else inventory.available
    for name in names:
        if name in groups:
            found += [Package(each, each) for each in groups[name]]
        elif name in known:
            found.append(Package(name, name))
        elif (package := _resolved(name, program, context, absent=absent)) is not None:
            found.append(package)
    return list(dict.fromkeys(found))


def _resolved(name: str, program: str, context: Context, *, absent: bool) -> Package | None:
    done = Answer(0, "", "")
    words: list[str] = []
    for verb in ("--sync", "--upgrade"):
        words = [program, verb, "--print-format", "%n", name]
        done = call(words, context, also=ENVIRONMENT)
        if not done.rc and done.stdout.strip():
            return Package(done.stdout.strip().split("\n")[-1], name, file=verb == "--upgrade")
    if absent:
        return None
    raise ModuleError(
        f"Failed to list package {name}", cmd=[*words], rc=done.rc, stdout=done.stdout, stderr=done.stderr
    )
