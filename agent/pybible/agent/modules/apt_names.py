"""apt_names: what a task's package names mean on this host: installed, to be had, provided by others."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import call, need

if TYPE_CHECKING:
    from pybible.agent.modules.apt import Args

_SPEC = re.compile(r"^([^=<>*?\[\s][^=<>\s]*?)\s*(?:(=|>=)\s*(\S+))?$")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A package as apt-get gets it."""

    text: str


@dataclass(slots=True)
class Policy:
    """What `apt-cache policy` says of a package."""

    installed: str | None = None
    candidate: str | None = None
    versions: list[str] = field(default_factory=list)


class Names:
    """The packages of a host, asked for once."""

    def __init__(self, args: Args, context: Context) -> None:
        self._args = args
        self._context = context
        self._installed = self._read_installed()

    def _call(self, program: str, *words: str) -> str:
        environment = {"LC_ALL": "C.UTF-8"}
        return call([need(program, self._context), *words], self._context, also=environment).stdout

    def _read_installed(self) -> dict[str, str]:
        found: dict[str, str] = {}
        shown = "${Package}\t${Architecture}\t${db:Status-Status}\t${Version}\n"
        for line in self._call("dpkg-query", "-W", "-f", shown).splitlines():
            name, architecture, status, version = line.split("\t")
            if status in ("installed", "triggers-pending", "triggers-awaited"):
                found[name] = version
                found[f"{name}:{architecture}"] = version
        return found

    def _has_config(self, name: str) -> bool:
        return self._call("dpkg-query", "-W", "-f", "${db:Status-Status}", name).strip() == "config-files"

    def policies(self, names: list[str]) -> dict[str, Policy]:
        """Return what apt knows of the packages; what it does not know is not in it."""
        found: dict[str, Policy] = {}
        current = Policy()
        if not names:
            return found
        for line in self._call("apt-cache", "policy", *names).splitlines():
            if line and not line.startswith(" "):
                current = found.setdefault(line.rstrip(":"), Policy())
                continue
            word, _, value = line.strip().partition(": ")
            value = value.strip()
            if word == "Installed":
                current.installed = None if value == "(none)" else value
            elif word == "Candidate":
                current.candidate = None if value == "(none)" else value
            elif matched := re.match(r"^( {5}| \*\*\* )(\S+) -?\d+$", line):
                current.versions.append(matched[2])
        return found

    def providers(self, name: str) -> list[str]:
        """Return the packages that provide a virtual one."""
        lines = self._call("apt-cache", "showpkg", name).splitlines()
        if "Reverse Provides: " not in lines:
            return []
        listed = lines[lines.index("Reverse Provides: ") + 1 :]
        return sorted({line.split()[0] for line in listed if line.strip()})

    def _expand(self, names: list[str]) -> list[str]:
        expanded: list[str] = []
        for name in names:
            base = name.partition("=")[0]
            if not _GLOB.search(base):
                expanded.append(name)
                continue
            known = set(self._installed) | set(self._call("apt-cache", "pkgnames").split())
            matching = sorted(item for item in known if ":" not in item and fnmatch.fnmatch(item, base))
            if not matching and self._args.state != "absent":
                raise ModuleError(f"No package(s) matching '{base}' available")
            expanded += matching
        return expanded

    def to_install(self, names: list[str]) -> tuple[list[Wanted], list[str]]:
        """Return what apt-get is to install, and what is there already. ModuleError when something is not to be had."""
        specs = [self._spec(name) for name in self._expand(names)]
        latest = self._args.state == "latest"
        asked = [name for name, _, version in specs if latest or version or name not in self._installed]
        policies = self.policies(asked)
        chosen: list[Wanted] = []
        manual: list[str] = []
        for name, operator, version in specs:
            wanted = self._decide(name, operator, version, policies.get(name))
            if wanted is not None:
                chosen.append(wanted)
            elif name in self._installed:
                manual.append(name)
        return chosen, manual

    def _spec(self, text: str) -> tuple[str, str, str]:
        matched = _SPEC.match(text.rstrip("^")) if text.endswith("^") else _SPEC.match(text)
        if matched is None:
            raise ModuleError(f"invalid package spec: {text}")
        return matched[1], matched[2] or "", matched[3] or ""

    def _decide(self, name: str, operator: str, version: str, policy: Policy | None) -> Wanted | None:
        installed = self._installed.get(name)
        if version:
            return self._decide_version(name, operator, version, policy, installed)
        if installed is not None:
            if self._args.state == "latest" and policy is not None and policy.candidate not in (None, installed):
                return Wanted(name)
            return None
        if self._args.only_upgrade:
            return None
        if policy is None or policy.candidate is None:
            providers = self.providers(name)
            if not providers:
                raise ModuleError(f"No package matching '{name}' is available")
            if any(provider in self._installed for provider in providers):
                return None
        return Wanted(name)

    def _decide_version(
        self, name: str, operator: str, version: str, policy: Policy | None, installed: str | None
    ) -> Wanted | None:
        if policy is None:
            raise ModuleError(f"No package matching '{name}' is available")
        if installed is None and self._args.only_upgrade:
            return None
        if installed is not None and self._satisfies(installed, operator, version):
            newer = policy.candidate is not None and policy.candidate != installed
            if self._args.state != "latest" or operator != ">=" or not newer:
                return None
        fitting = [found for found in policy.versions if self._satisfies(found, operator, version)]
        if not fitting:
            raise ModuleError(f"no available installation candidate for {name}{operator}{version}")
        best = policy.candidate if policy.candidate in fitting else fitting[0]
        return Wanted(f"{name}={best}")

    def _satisfies(self, version: str, operator: str, wanted: str) -> bool:
        if operator == "=":
            return fnmatch.fnmatch(version, wanted)
        words = [need("dpkg", self._context), "--compare-versions", version, "ge", wanted]
        return call(words, self._context).rc == 0

    def to_remove(self, names: list[str]) -> list[str]:
        """Return what there is to remove."""
        chosen = []
        for text in self._expand(names):
            name, operator, version = self._spec(text)
            installed = self._installed.get(name)
            if installed is not None:
                if not version or self._satisfies(installed, operator, version):
                    chosen.append(name)
            elif self._args.purge and self._has_config(name):
                chosen.append(name)
        return chosen
