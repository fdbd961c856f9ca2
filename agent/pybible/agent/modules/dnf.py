"""dnf: installs, upgrades and removes packages of Fedora, Red Hat and their kin, by dnf and rpm alone."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from pybible.agent.facts import packages
from pybible.agent.facts.source import Host
from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.dnf_command import DNF4, DNF5, Dialect, Dnf
from pybible.agent.modules.dnf_list import listed
from pybible.agent.modules.dnf_output import Row, no_group, parse_table, problem, unknown, unsigned
from pybible.agent.modules.process import environment_for
from pybible.agent.modules.programs import Answer, locate
from pybible.agent.modules.web import Request, fetch
from pybible.wire.values import JsonObject

_IN_CHECK = "Check mode: No changes made, but would have if not in check mode"
_VERSIONED = re.compile(r"-\d|[<>=]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of dnf."""

    name: list[str] = arg(
        default_factory=list, aliases=("pkg",), doc="packages, with or without versions, files, addresses, @groups"
    )
    state: Literal["absent", "present", "installed", "removed", "latest"] | None = arg(
        default=None, doc="what is wanted: present, or absent with autoremove"
    )
    list_: str | None = arg(default=None, doc="only list: `installed`, `updates`, `available`, `repos`, or a package")
    allow_downgrade: bool = arg(default=False, doc="take a version that is older than the installed one")
    allowerasing: bool = arg(default=False, doc="remove packages that stand in the way")
    autoremove: bool = arg(default=False, doc="remove what no package needs any more")
    best: bool | None = arg(default=None, doc="the newest version or none")
    nobest: bool | None = arg(default=None, doc="an older version where the newest can't be installed")
    bugfix: bool = arg(default=False, doc="with `latest`, only upgrades that mend something")
    security: bool = arg(default=False, doc="with `latest`, only upgrades for security")
    cacheonly: bool = arg(default=False, doc="fetch no lists of packages")
    conf_file: str | None = arg(default=None, doc="dnf's configuration")
    disable_excludes: str | None = arg(default=None, doc="take no notice of what the configuration excludes")
    disable_gpg_check: bool = arg(default=False, doc="take unsigned packages")
    disable_plugin: list[str] = arg(default_factory=list, doc="plugins of dnf to do without")
    disablerepo: list[str] = arg(default_factory=list, doc="repositories to do without")
    download_dir: str | None = arg(default=None, doc="folder for what is only downloaded")
    download_only: bool = arg(default=False, doc="download, do not install")
    enable_plugin: list[str] = arg(default_factory=list, doc="plugins of dnf to use")
    enablerepo: list[str] = arg(default_factory=list, doc="repositories to use")
    exclude: list[str] = arg(default_factory=list, doc="packages to leave alone")
    install_repoquery: bool = arg(default=True, doc="nothing to install here: accepted as it is")
    install_weak_deps: bool = arg(default=True, doc="with what they recommend")
    installroot: str = arg(default="/", doc="folder into which to install")
    lock_timeout: int = arg(default=30, doc="seconds to wait for another program that has dnf's lock")
    releasever: str | None = arg(default=None, doc="release to install from")
    skip_broken: bool = arg(default=False, doc="leave out what is not there or can't be installed")
    sslverify: bool = arg(default=True, doc="check certificates of repositories")
    update_cache: bool = arg(default=False, aliases=("expire-cache",), doc="fetch the lists of packages first")
    update_only: bool = arg(default=False, doc="with `latest`, touch only what is installed")
    use_backend: Literal["auto", "dnf", "yum", "yum4", "dnf4", "dnf5"] = arg(
        default="auto", doc="which dnf: the host's own"
    )
    validate_certs: bool = arg(default=True, doc="check the certificate of an address")


@dataclass(slots=True)
class _Task:
    """What is to be done: words for `dnf install`, `upgrade` and `remove`, and what is said besides."""

    install: list[str] = field(default_factory=list)
    upgrade: list[str] | None = None
    remove: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    autoremove: bool = False

    def steps(self) -> list[tuple[str, list[str]]]:
        """Return dnf's commands."""
        steps = [("install", self.install)] if self.install else []
        steps += [("upgrade", self.upgrade)] if self.upgrade is not None else []
        steps += [("remove", self.remove)] if self.remove else []
        return [*steps, ("autoremove", [])] if self.autoremove else steps


def plan(args: Args, context: Context) -> Plan:
    """In check mode dnf is asked what it would do; otherwise it does it."""
    dialect = _dialect(args, context)
    if context.check:
        values = _work(args, context, dialect)
        return Change(values=values, apply=_nothing) if values.pop("changed") else Unchanged(values=values)
    return Change(changed=False, apply=partial(_work, args, context, dialect))


def _dialect(args: Args, context: Context) -> Dialect:
    """Return the generation of dnf that is named, or that is the host's own."""
    if args.use_backend not in ("auto", "yum"):
        return DNF5 if args.use_backend == "dnf5" else DNF4
    if locate("dnf5", context) is None:
        return DNF4
    if locate("dnf-3", context) is None:
        return DNF5
    facts = packages.collect(Host(environment=environment_for(context.environment)))
    return DNF5 if facts["pkg_mgr"] == "dnf5" else DNF4


def _nothing() -> None:
    return None


def _work(args: Args, context: Context, dialect: Dialect) -> JsonObject:
    if args.autoremove and args.state not in (None, "absent", "removed"):
        raise ModuleError("Autoremove should be used alone or with state=absent", results=[])
    if args.conf_file and not os.access(args.conf_file, os.R_OK):
        raise ModuleError("cannot read configuration file", conf_file=args.conf_file, results=[])
    dnf = Dnf(args, context, dialect)
    if args.list_ is not None:
        return {"changed": False, "msg": "", "results": listed(dnf, args.list_)}
    names = [name.strip() for name in args.name if name.strip()]
    if args.update_cache:
        _refresh(dnf)
        if not names and not args.autoremove:
            return _result("Cache updated", [])
    with ExitStack() as stack:
        return _carry_out(dnf, _task(dnf, names, stack))


def _result(msg: str, results: list[str], *, changed: bool = False) -> JsonObject:
    return {"changed": changed, "msg": msg, "rc": 0, "results": [*results]}


def _refresh(dnf: Dnf) -> None:
    done = dnf.run("makecache", ["--refresh"])
    if done.rc:
        raise ModuleError(f"Failed to update the cache: {done.stderr.strip()}", rc=1, results=[])


def _task(dnf: Dnf, names: list[str], stack: ExitStack) -> _Task:
    args = dnf.args
    if args.state in ("absent", "removed") or (args.autoremove and args.state is None):
        return _absent(dnf, names)
    task = _Task()
    if args.state == "latest" and "*" in names:
        task.upgrade = []
        names = [name for name in names if name != "*"]
    for name in names:
        if name.startswith("@"):
            task.install.append(name)
            task.said.append(f"Group {name.lstrip('@^')} installed.")
        elif "://" in name or (name.endswith(".rpm") and not name.startswith("*")):
            _file(dnf, name, task, stack)
        else:
            _package(dnf, name, task)
    return task


def _absent(dnf: Dnf, names: list[str]) -> _Task:
    task = _Task(autoremove=dnf.args.autoremove and not names)
    for name in names:
        if name.startswith("@") or re.search(r"[*?\[<>=]", name) or dnf.has(name):
            task.remove.append(name)
        else:
            task.said.append(f"No match for argument: {name}")
    return task


def _file(dnf: Dnf, name: str, task: _Task, stack: ExitStack) -> None:
    path = name
    if "://" in name:
        stream = stack.enter_context(tempfile.NamedTemporaryFile(suffix=".rpm"))  # noqa: SIM115  the stack closes it
        with fetch(Request(url=name, check_certificate=dnf.args.validate_certs)) as answer:
            if answer.status != 200:
                raise ModuleError(f"Failure downloading {name}, {answer.msg}")
            answer.copy_to(stream.file)
        stream.flush()
        path = stream.name
    if not dnf.has_package(dnf.file_name(path)):
        task.install.append(path)
    task.said.append(f"Installed {name}")


def _package(dnf: Dnf, name: str, task: _Task) -> None:
    args = dnf.args
    there = dnf.has(name)
    if args.update_only and not there:
        task.said.append(f"Packages providing {name} not installed due to update_only specified")
    elif not there or (args.allow_downgrade and _VERSIONED.search(name) and not dnf.has_package(name)):
        task.install.append(name)
    elif args.state == "latest":
        task.upgrade = [*(task.upgrade or []), name]


def _carry_out(dnf: Dnf, task: _Task) -> JsonObject:
    before = dnf.installed()
    steps = task.steps()
    results = list(task.said)
    done: list[Row] = []
    # What can't be done must be known before anything is; one step that can't go back is stopped by dnf itself.
    careful = dnf.context.check or len(steps) > 1 or any(map(_VERSIONED.search, task.install))
    if careful:
        for index, (verb, words) in enumerate(steps):
            answer = dnf.run(verb, words, preview=True)
            results += _failures(dnf, verb, words, answer, preview=True)
            rows = parse_table(answer.stdout)
            if verb == "install" and not dnf.args.allow_downgrade and _goes_back(rows):
                words = [word for word in words if not _VERSIONED.search(word)]
                steps[index] = (verb, words)
                rows = parse_table(dnf.run(verb, words, preview=True).stdout) if words else []
            done += rows
    if not dnf.context.check:
        done = [] if not careful else done
        found: list[Row] = []
        for verb, words in steps:
            if words or verb not in ("install", "remove"):
                answer = dnf.run(verb, words)
                said = _failures(dnf, verb, words, answer, preview=False)
                results += [] if careful else said
                found += parse_table(answer.stdout)
        done = found
    if not done:
        return _result("Nothing to do", results)
    results += _changes(dnf, done, before)
    return _result(_IN_CHECK if dnf.context.check else "", results, changed=True)


def _goes_back(rows: list[Row]) -> bool:
    return any(row.action == "downgrade" for row in rows)


def _changes(dnf: Dnf, rows: list[Row], before: dict[tuple[str, str], list[str]]) -> list[str]:
    verb = "Downloaded" if dnf.args.download_only else "Installed"
    results = [f"{verb}: {row.nevra}" for row in rows if row.action != "remove"]
    if dnf.args.download_only:
        return results
    for row in rows:
        if row.action in ("replace", "downgrade"):
            versions = before.get((row.name, row.arch), [])
            results += [f"Removed: {row.name}-{version}.{row.arch}" for version in versions]
    return results + sorted(f"Removed: {row.nevra}" for row in rows if row.action == "remove")


def _failures(dnf: Dnf, verb: str, words: list[str], answer: Answer, *, preview: bool) -> list[str]:
    """Raise ModuleError when dnf could not; return what it left out."""
    text = answer.stderr
    failures = unknown(f"{answer.stdout}\n{text}") if verb in ("install", "upgrade") else []
    if verb == "install" and "There are no enabled repositories" in text:
        failures = [f"No package {word} available." for word in words]
    if answer.rc == 0 or (preview and parse_table(answer.stdout)):
        return failures if dnf.args.skip_broken else []
    group = no_group(text)
    if group is not None:
        raise ModuleError(f"No group {group} available.", results=[])
    if failures and dnf.args.skip_broken:
        return failures
    if failures:
        raise ModuleError("Failed to install some of the specified packages", failures=[*failures], rc=1, results=[])
    package = unsigned(answer.stdout + text)
    if package is not None:
        raise ModuleError(f"Failed to validate GPG signature for {package}: Package {package}.rpm is not signed")
    if (reason := problem(text)) is not None:
        raise ModuleError(f"Depsolve Error occurred: \n{reason}", failures=[], rc=1, results=[])
    raise ModuleError(f"{dnf.dialect.module}: {text.strip() or answer.stdout.strip()}", rc=answer.rc, results=[])


MODULE = Module(
    name="ansible.legacy.dnf",
    args=Args,
    plan=plan,
    mutually_exclusive=(("best", "nobest"),),
    exclusive=True,
)
