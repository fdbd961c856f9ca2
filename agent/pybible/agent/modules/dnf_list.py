"""dnf_list: what dnf has: installed packages, upgrades, repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybible.agent.modules.api import ModuleError
from pybible.wire.values import JsonObject

if TYPE_CHECKING:
    from pybible.agent.modules.dnf_command import Dnf

_FORMAT = "%{name}|%{epoch}|%{version}|%{release}|%{arch}|%{repoid}"
_WHICH = {
    "installed": ["--installed"],
    "updates": ["--upgrades"],
    "upgrades": ["--upgrades"],
    "available": ["--available"],
    "obsoletes": ["--obsoletes"],
}


def listed(dnf: Dnf, what: str) -> list[JsonObject]:
    """Return the packages, or the repositories, that the argument `list` asks for."""
    if what in ("repos", "repositories"):
        return parse_repositories(_ask(dnf, "repolist", ["--enabled"]))
    shape = ["--queryformat", _FORMAT + dnf.dialect.end_of_line]
    if what in _WHICH:
        return parse_packages(_ask(dnf, "repoquery", [*_WHICH[what], *shape]), what)
    there = _ask(dnf, "repoquery", ["--installed", *shape, what])
    available = _ask(dnf, "repoquery", ["--available", *shape, what])
    return parse_packages(there, "installed") + parse_packages(available, "available")


def _ask(dnf: Dnf, verb: str, words: list[str]) -> str:
    done = dnf.run(verb, words)
    if done.rc:
        raise ModuleError(f"{dnf.dialect.module}: {done.stderr.strip()}", rc=done.rc, results=[])
    return done.stdout


def parse_packages(output: str, state: str) -> list[JsonObject]:
    """Return what lines `name|epoch|version|release|architecture|repository` say."""
    found: list[JsonObject] = []
    for line in output.split("\n"):
        fields = line.split("|")
        if len(fields) != 6:
            continue
        name, epoch, version, release, arch, repository = fields
        nevra = f"{epoch}:{name}-{version}-{release}.{arch}"
        found.append(
            {
                "name": name, "epoch": epoch, "version": version, "release": release, "arch": arch,
                "repo": repository, "nevra": nevra, "envra": nevra,
                "yumstate": "installed" if state == "installed" else "available",
            }
        )  # fmt: skip
    return found


def parse_repositories(output: str) -> list[JsonObject]:
    """Return the repositories of dnf's table of them, which begins with a line of headings."""
    lines = [line.split() for line in output.split("\n")[1:]]
    return [{"repoid": words[0], "state": "enabled"} for words in lines if words]
