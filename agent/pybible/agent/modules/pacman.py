"""pacman: installs, upgrades and removes packages of Arch Linux and its kin."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.pacman_inventory import (
    ENVIRONMENT,
    Inventory,
    Package,
    packages,
    parse_versions,
    read_inventory,
)
from pybible.agent.modules.programs import Answer, call, need
from pybible.wire.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of pacman."""

    name: list[str] | None = arg(default=None, aliases=("package", "pkg"), doc="packages, groups, files, addresses")
    state: Literal["absent", "installed", "latest", "present", "removed"] = arg(default="present", doc="what is wanted")
    force: bool = arg(default=False, doc="remove whatever needs it; refresh lists that are fresh")
    remove_nosave: bool = arg(default=False, doc="remove changed configuration too")
    executable: str = arg(default="pacman", doc="the program")
    extra_args: str = arg(default="", doc="more arguments for it")
    upgrade: bool | None = arg(default=None, doc="upgrade all packages")
    upgrade_extra_args: str = arg(default="", doc="more arguments for that")
    update_cache: bool | None = arg(default=None, doc="refresh the lists of packages first")
    update_cache_extra_args: str = arg(default="", doc="more arguments for that")
    reason: Literal["dependency", "explicit"] | None = arg(default=None, doc="why a package is said to be installed")
    reason_for: Literal["all", "new"] = arg(default="new", doc="whether that is for packages that are there too")


@dataclass(slots=True)
class _Pacman:
    """One task: the program, and what has been said so far."""

    args: Args
    context: Context
    program: str
    changed: bool = False
    messages: list[str] = field(default_factory=list)
    outputs: list[Answer] = field(default_factory=list)
    values: JsonObject = field(default_factory=dict)

    def result(self) -> JsonObject:
        """Return the result's keys."""
        return {"changed": self.changed, "msg": "\n".join(self.messages), **self.values, **self._said()}

    def _said(self) -> JsonObject:
        said: JsonObject = {}
        for name in ("stdout", "stderr"):
            texts = [text for text in (getattr(done, name) for done in self.outputs) if text]
            if texts:
                said[name] = "\n".join(texts)
        return said

    def fail(self, msg: str, words: Iterable[str]) -> ModuleError:
        """Return the failure of a command, with all that was said."""
        values = {name: value for name, value in self.values.items() if name != "packages"}
        return ModuleError(msg, cmd=list(words), **values, **self._said())

    def change(self, words: list[str], failure: str) -> None:
        """Run what changes something."""
        done = call(words, self.context, also=ENVIRONMENT, live=True)
        self.outputs.append(done)
        if done.rc:
            raise self.fail(failure, words)

    def update(self) -> str | None:
        """Refresh the lists of packages; return them, None when they were not read."""
        if self.context.check:
            self.messages.append("Would have updated the package db")
            self.changed = self.values["cache_updated"] = True
            return None
        listing = [self.program, "--sync", "--list"]
        again = ["--refresh"] if self.args.force else []
        before = None if again else call(listing, self.context, also=ENVIRONMENT).stdout
        words = [self.program, "--sync", "--refresh", *again, *shlex.split(self.args.update_cache_extra_args)]
        done = call(words, self.context, also=ENVIRONMENT, live=True)
        self.outputs.append(done)
        after = None if again else call(listing, self.context, also=ENVIRONMENT).stdout
        self.values["cache_updated"] = before is None or _same_list(before) != _same_list(after or "")
        if done.rc:
            raise self.fail("could not update package db", words)
        self.changed = bool(self.values["cache_updated"])
        self.messages.append("Updated package db")
        return after

    def upgrade(self, inventory: Inventory) -> None:
        """Upgrade all packages."""
        if not inventory.upgrades:
            self.messages.append("Nothing to upgrade")
            return
        self.changed = True
        names = sorted(inventory.upgrades)
        self.values["packages"] = [*names]
        before = "".join(f"{name}-{inventory.upgrades[name][0]}\n" for name in names)
        after = "".join(f"{name}-{inventory.upgrades[name][1]}\n" for name in names)
        self.values["diff"] = {"before": before, "after": after}
        if self.context.check:
            self.messages.append(f"{len(names)} packages would have been upgraded")
            return
        extra = shlex.split(self.args.upgrade_extra_args)
        words = [self.program, "--sync", "--sysupgrade", "--quiet", "--noconfirm", *extra]
        self.change(words, "Could not upgrade")
        self.messages.append("System upgraded")

    def install(self, wanted: list[Package], inventory: Inventory) -> None:
        """Install what is not there (or, for the latest, not the newest), and set the reasons."""
        latest = self.args.state == "latest"
        missing = [
            package
            for package in wanted
            if package.file
            or package.name not in inventory.installed
            or (latest and package.name in inventory.upgrades)
        ]
        common = [self.program, "--noconfirm", "--noprogressbar", "--needed", *shlex.split(self.args.extra_args)]
        runs = [
            (verb, [package.source for package in missing if package.file == file])
            for verb, file in (("--sync", False), ("--upgrade", True))
        ]
        new: dict[str, str] = {}
        for verb, sources in runs:
            if sources:
                words = [*common, verb, "--print-format", "%n %v", *sources]
                done = call(words, self.context, also=ENVIRONMENT)
                if done.rc:
                    self.outputs.append(done)
                    raise self.fail("Failed to list package(s) to install", words)
                new |= parse_versions(done.stdout)
        reasons = self._reasons(wanted, new, inventory)
        self.values["packages"] = sorted({*new, *reasons})
        if not new and not reasons:
            self.messages.append("package(s) already installed")
            return
        self.changed = True
        self.values["diff"] = self._diff(new, inventory)
        count = len(self.values["packages"])
        if self.context.check:
            self.messages.append(f"Would have installed {count} packages")
            return
        for verb, sources in runs:
            if sources:
                self.change([*common, verb, *sources], "Failed to install package(s)")
        if reasons:
            mark = "--asdeps" if self.args.reason == "dependency" else "--asexplicit"
            self.change([self.program, "--noconfirm", "--database", mark, *reasons], "Failed to install package(s)")
        self.messages.append(f"Installed {count} package(s)")

    def _reasons(self, wanted: list[Package], new: dict[str, str], inventory: Inventory) -> list[str]:
        if self.args.reason is None:
            return []
        names = [package.name for package in wanted]
        return [
            name
            for name in names
            if (name in new and name not in inventory.installed)
            or (
                self.args.reason_for == "all"
                and name in inventory.installed
                and inventory.reason(name) != self.args.reason
            )
        ]

    def _diff(self, new: dict[str, str], inventory: Inventory) -> JsonValue:
        before, after = [], []
        for name, version in new.items():
            reason = self.args.reason
            if name in inventory.installed:
                old = inventory.reason(name)
                before.append(f"{name}-{inventory.installed[name]}-{old}\n")
                reason = reason if reason is not None and self.args.reason_for == "all" else old  # type: ignore[assignment]
            after.append(f"{name}-{version}" + (f"-{reason}" if reason else "") + "\n")
        return {"before": "".join(sorted(before)), "after": "".join(sorted(after))}

    def remove(self, wanted: list[Package], inventory: Inventory) -> None:
        """Remove what is there."""
        names = [package.name for package in wanted if package.name in inventory.installed]
        if not names:
            self.values["packages"] = []
            self.messages.append("package(s) already absent")
            return
        force = ["--nodeps", "--nodeps"] if self.args.force else []
        extra = shlex.split(self.args.extra_args)
        common = [self.program, "--remove", "--noconfirm", "--noprogressbar", *force, *extra]
        words = [*common, "--print-format", "%n-%v", *names]
        done = call(words, self.context, also=ENVIRONMENT)
        if done.rc:
            self.outputs.append(done)
            raise self.fail("failed to list package(s) to remove", words)
        removed = [line.strip() for line in done.stdout.split("\n") if line.strip()]
        self.changed = True
        self.values["packages"] = [*removed]
        self.values["diff"] = {"before": "".join(f"{each}\n" for each in removed), "after": ""}
        if self.context.check:
            self.messages.append(f"Would have removed {len(removed)} packages")
            return
        self.change(
            [*common, *(["--nosave"] if self.args.remove_nosave else []), *names], "failed to remove package(s)"
        )
        self.messages.append(f"Removed {len(removed)} package(s)")


def _same_list(output: str) -> list[str]:
    return sorted(output.split("\n"))


def plan(args: Args, context: Context) -> Plan:
    """In check mode all that is asked is asked; what is found to do is not done."""
    if context.check:
        values = _work(args, context)
        changed = values.pop("changed")
        return Change(values=values, apply=_nothing) if changed else Unchanged(values=values)
    return Change(changed=False, apply=lambda: _work(args, context))


def _nothing() -> None:
    return None


def _work(args: Args, context: Context) -> JsonObject:
    pacman = _Pacman(args, context, need(args.executable, context))
    listed = pacman.update() if args.update_cache else None
    if args.update_cache and args.name is None and not args.upgrade:
        return pacman.result()
    inventory = read_inventory(pacman.program, context, listed)
    if args.upgrade:
        pacman.upgrade(inventory)
        return pacman.result()
    if not args.name:
        pacman.messages.append("Nothing to do")
        return pacman.result()
    absent = args.state in ("absent", "removed")
    names = [name.strip() for name in args.name if name.strip()]
    wanted = packages(names, inventory, pacman.program, context, absent=absent)
    if absent:
        pacman.remove(wanted, inventory)
    else:
        pacman.install(wanted, inventory)
    return pacman.result()


MODULE = Module(
    name="community.general.pacman",
    args=Args,
    plan=plan,
    mutually_exclusive=(("name", "upgrade"),),
    required_one_of=(("name", "update_cache", "upgrade"),),
    exclusive=True,
)
