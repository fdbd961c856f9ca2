"""apk: installs, upgrades and removes packages of Alpine Linux."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, need
from pybible.agent.modules.rewrite import lines_of, read_text
from pybible.wire.values import JsonObject

_ENVIRONMENT = {"LC_ALL": "C", "LANG": "C"}
_STEP = re.compile(r"^\(\d+/\d+\) \w+ (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of apk."""

    state: Literal["present", "installed", "absent", "removed", "latest"] = arg(default="present", doc="what is wanted")
    name: list[str] | None = arg(default=None, doc="packages, with or without versions")
    no_cache: bool = arg(default=False, doc="use no cache")
    repository: list[str] | None = arg(default=None, doc="repositories, in the place of the host's own")
    update_cache: bool = arg(default=False, doc="update the lists of packages first")
    upgrade: bool = arg(default=False, doc="upgrade all packages")
    available: bool = arg(default=False, doc="with upgrade, replace what is no longer to be had")
    world: PathText = arg(default="/etc/apk/world", doc="file of the packages that were asked for")


def plan(args: Args, context: Context) -> Plan:
    """In check mode apk simulates; otherwise it does it."""
    if args.name is not None and not all(name.strip() for name in args.name):
        raise ModuleError("Package name(s) cannot be empty or whitespace-only")
    if context.check:
        values = _work(args, context)
        return Change(values=values, apply=_nothing) if values.pop("changed") else Unchanged(values=values)
    return Change(changed=False, apply=partial(_work, args, context))


def _nothing() -> None:
    return None


def _work(args: Args, context: Context) -> JsonObject:
    apk = _Apk(args, context)
    updated: JsonObject = {"changed": args.update_cache}
    if args.update_cache:
        updated |= apk.update()
        if args.name is None and not args.upgrade:
            return updated
    if args.upgrade:
        return apk.upgrade()
    if args.state in ("absent", "removed"):
        return apk.remove(args.name or [])
    return apk.install(args.name or [])


class _Apk:
    """apk with the options that a task asks for."""

    def __init__(self, args: Args, context: Context) -> None:
        self._args = args
        self._context = context
        words = [need("apk", context), *(["--no-cache"] if args.no_cache else [])]
        for repository in args.repository or ():
            words += ["--repository", repository, "--repositories-file", "/dev/null"]
        self._words = words
        self._simulate = ["--simulate"] if context.check else []

    def _ask(self, *words: str) -> Answer:
        return call([*self._words, *words], self._context, also=_ENVIRONMENT)

    def _change(self, *words: str) -> Answer:
        return call([*self._words, *words], self._context, also=_ENVIRONMENT, live=True)

    def update(self) -> JsonObject:
        """Update the lists of packages."""
        if self._context.check:
            return {"msg": "updated repository indexes"}
        done = self._change("update")
        if done.rc:
            raise ModuleError("could not update package db", stdout=done.stdout, stderr=done.stderr)
        return {"msg": "updated repository indexes", "stdout": done.stdout, "stderr": done.stderr}

    def upgrade(self) -> JsonObject:
        """Upgrade all packages."""
        done = self._change("upgrade", *self._simulate, *(["--available"] if self._args.available else []))
        shown = _shown(done)
        if done.rc:
            raise ModuleError("failed to upgrade packages", **shown)
        changed = bool(shown["packages"])
        return {"changed": changed, "msg": "upgraded packages" if changed else "packages already upgraded", **shown}

    def install(self, names: list[str]) -> JsonObject:
        """Install what was not asked for yet; for the latest, upgrade what is old."""
        latest = self._args.state == "latest"
        wanted: list[str] = []
        old = False
        for name in [each for given in names for each in self._real(given)]:
            if not self._asked_for(name):
                wanted.append(name)
            elif latest and not self._is_latest(name):
                wanted.append(name)
                old = True
        if not wanted:
            return {"changed": False, "msg": "package(s) already installed"}
        upgrade = ["--upgrade"] if old else []
        done = self._change("add", *upgrade, *self._simulate, *wanted)
        if done.rc:
            raise ModuleError(f"failed to install {wanted}", **_shown(done))
        return {"changed": True, "msg": f"installed {wanted} package(s)", **_shown(done)}

    def remove(self, names: list[str]) -> JsonObject:
        """Remove what is there."""
        there = [name for name in names if self._is_installed(name)]
        if not there:
            return {"changed": False, "msg": "package(s) already removed"}
        done = self._change("del", "--purge", *self._simulate, *there)
        left = not self._context.check and any(map(self._is_installed, there))
        if done.rc or left:
            raise ModuleError(f"failed to remove {there} package(s)", **_shown(done))
        return {"changed": True, "msg": f"removed {there} package(s)", **_shown(done)}

    def _real(self, name: str) -> list[str]:
        """Return what a virtual package needs, any other name as it is."""
        if "virtual meta package" not in self._ask("-v", "info", "--description", name).stdout:
            return [name]
        done = self._ask("-v", "info", "--depends", name)
        return [line.strip() for line in lines_of(done.stdout)[1:] if line.strip()] or [name]

    def _asked_for(self, name: str) -> bool:
        if not Path(self._args.world).exists():
            raise ModuleError(f"apk: there is no file {self._args.world}, which world names")
        return in_world(read_text(self._args.world), name)

    def _is_latest(self, name: str) -> bool:
        return not is_old(self._ask("version", name).stdout, name)

    def _is_installed(self, name: str) -> bool:
        return self._ask("-v", "info", "--installed", name).rc == 0


def _shown(done: Answer) -> JsonObject:
    return {"stdout": done.stdout, "stderr": done.stderr, "packages": [*parse_steps(done.stdout)]}


def parse_steps(output: str) -> list[str]:
    """Return the packages of lines `(1/2) Installing NAME (VERSION)`."""
    found = (_STEP.match(line) for line in lines_of(output))
    return [matched[1] for matched in found if matched]


def in_world(text: str, name: str) -> bool:
    """Return whether a world file asks for a package: NAME, NAME=VERSION, NAME@TAG, ..."""
    pattern = re.compile(re.escape(name) + r"(?:[@=><~].+)?")
    return any(pattern.fullmatch(line.strip()) for line in lines_of(text))


def is_old(output: str, name: str) -> bool:
    """Return whether `apk version` says that there is a newer one: `NAME-1.0-r0 < 1.1-r0`."""
    pattern = re.compile(re.escape(name) + r"-[0-9]\S*\s+<\s.*")
    return any(pattern.fullmatch(line.strip()) for line in lines_of(output))


MODULE = Module(
    name="community.general.apk",
    args=Args,
    plan=plan,
    mutually_exclusive=(("name", "upgrade"),),
    required_one_of=(("name", "update_cache", "upgrade"),),
    exclusive=True,
)
