"""package_facts: the packages that are installed, as facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pybible.agent.modules.api import Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonObject

_ORDER = ("apt", "rpm", "pacman", "apk")
_RPM = ("dnf", "dnf5", "yum", "zypper", "rpm")
_DPKG_FORMAT = "${Package}\t${Version}\t${Architecture}\t${Section}\t${db:Status-Status}\n"
_RPM_FORMAT = "%{NAME}\t%{VERSION}\t%{RELEASE}\t%{EPOCHNUM}\t%{ARCH}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of package_facts."""

    manager: list[str] = arg(default_factory=lambda: ["auto"], doc="whose packages: auto, apt, rpm, pacman, apk")
    strategy: str = arg(default="first", choices=("first", "all"), doc="the first of them that is here, or all")


def plan(args: Args, context: Context) -> Plan:
    """Ask; nothing is ever to change."""
    asked = [name for given in args.manager for name in ([*_ORDER] if given.lower() == "auto" else [given.lower()])]
    packages: JsonObject = {}
    found = False
    unusable: list[str] = []
    for name in dict.fromkeys("rpm" if name in _RPM else name for name in asked):
        reader = _READERS.get(name)
        if reader is None:
            raise ModuleError(f"Unsupported package managers requested: {name}")
        try:
            listed = reader(context)
        except ModuleError as error:
            if name in args.manager:
                unusable.append(f"Requested package manager {name} was not usable by this module: {error.msg}")
            continue
        found = True
        for entry in listed:
            packages.setdefault(entry["name"], []).append({**entry, "source": name})
        if args.strategy == "first":
            break
    if not found:
        raise ModuleError(
            f"Could not detect a supported package manager from the following list: {asked}, "
            "or the required Python library is not installed. Check warnings for details.",
            warnings=unusable,
        )
    return Unchanged(values={"ansible_facts": {"packages": packages}})


def _lines(program: str, words: list[str], context: Context) -> list[list[str]]:
    done = call([need(program, context), *words], context, also={"LC_ALL": "C.UTF-8"})
    if done.rc:
        raise ModuleError(f"{program} failed: {done.stderr.strip()}")
    return [line.split("\t") for line in done.stdout.splitlines() if line]


def _apt(context: Context) -> list[JsonObject]:
    lines = _lines("dpkg-query", ["-W", "-f", _DPKG_FORMAT], context)
    return [
        {"name": name, "version": version, "arch": architecture, "category": section, "origin": ""}
        for name, version, architecture, section, status in lines
        if status == "installed"
    ]


def _rpm(context: Context) -> list[JsonObject]:
    lines = _lines("rpm", ["-qa", "--queryformat", _RPM_FORMAT], context)
    return [
        {
            "name": name, "version": version, "release": release, "arch": architecture,
            "epoch": None if epoch == "0" else int(epoch),
        }
        for name, version, release, epoch, architecture in lines
    ]  # fmt: skip


def _pacman(context: Context) -> list[JsonObject]:
    lines = _lines("pacman", ["-Q"], context)
    return [_name_and_version(*line[0].split(" ", 1)) for line in lines]


def _name_and_version(name: str, version: str) -> JsonObject:
    return {"name": name, "version": version}


def _apk(context: Context) -> list[JsonObject]:
    lines = _lines("apk", ["info", "-v"], context)
    listed = []
    for line in lines:
        name, version, release = line[0].rsplit("-", 2)
        listed.append({"name": name, "version": version, "release": release})
    return listed


_READERS: dict[str, Callable[[Context], list[JsonObject]]] = {
    "apk": _apk, "apt": _apt, "pacman": _pacman, "rpm": _rpm,
}  # fmt: skip

MODULE = Module(name="package_facts", args=Args, plan=plan)
