"""npm: installs and removes packages of Node.js, in a folder or for all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, must, need
from pybible.wire.values import JsonObject, loads


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of npm."""

    name: str | None = arg(default=None, doc="the package; without it, those of package.json")
    path: PathText | None = arg(default=None, doc="folder in which to install")
    version: str | None = arg(default=None, doc="the package's version")
    global_: bool = arg(default=False, doc="install for all, not in a folder")
    executable: PathText | None = arg(default=None, doc="the npm program")
    ignore_scripts: bool = arg(default=False, doc="run no scripts of packages")
    unsafe_perm: bool = arg(default=False, doc="run scripts as the user that installs")
    production: bool = arg(default=False, doc="without what only development needs")
    registry: str | None = arg(default=None, doc="where packages are from")
    no_optional: bool = arg(default=False, doc="without what is optional")
    no_bin_links: bool = arg(default=False, doc="make no links to programs")
    force: bool = arg(default=False, doc="install whatever stands against it")
    ci: bool = arg(default=False, doc="install exactly what package-lock.json says")
    state: Literal["present", "absent", "latest"] = arg(default="present", doc="what is wanted")


@dataclass(frozen=True, slots=True)
class Listed:
    """What npm has in a folder: names (and NAME@VERSION), and those that are missing or wrong."""

    installed: frozenset[str]
    missing: tuple[str, ...]


def plan(args: Args, context: Context) -> Plan:
    """Compare what npm lists with what is asked."""
    if args.path is None and not args.global_:
        raise ModuleError("path must be specified when not using global")
    if args.path is not None and Path(args.path).exists() and not Path(args.path).is_dir():
        raise ModuleError(f"path {args.path} is not a directory")
    if args.ci:
        return Change(apply=partial(_run, args, context, ["ci"], named=False))
    if args.path is not None and not Path(args.path).exists():
        verbs = [] if args.state == "absent" else [["install"]]
    else:
        verbs = _verbs(args, context)
    return Change(apply=partial(_run_all, args, context, verbs)) if verbs else Unchanged()


def _verbs(args: Args, context: Context) -> list[list[str]]:
    listed = parse_list(_list(args, context))
    missing = bool(listed.missing)
    if args.name is not None and _label(args) not in listed.installed:
        missing = True
    if args.state == "absent":
        return [["uninstall"]] if args.name in listed.installed else []
    verbs = [["install"]] if missing else []
    if args.state == "latest":
        words = _command(args, context, ["outdated"], named=True)
        if parse_outdated(call(words, context, directory=args.path).stdout):
            verbs.append(["update"])
    return verbs


def _label(args: Args) -> str:
    return f"{args.name}@{args.version}" if args.version else str(args.name)


def parse_list(output: str) -> Listed:
    """Return what `npm list --json` says; nothing when it is no JSON."""
    try:
        document = loads(output or "{}")
    except ValueError as error:
        raise ModuleError(f"Failed to parse NPM output with error {error}") from error
    dependencies = document.get("dependencies") if isinstance(document, dict) else None
    installed: set[str] = set()
    missing: list[str] = []
    for name, found in (dependencies if isinstance(dependencies, dict) else {}).items():
        if not isinstance(found, dict):
            continue
        if found.get("missing") or found.get("invalid"):
            missing.append(name)
            continue
        installed |= {name, *([f"{name}@{found['version']}"] if found.get("version") else [])}
    return Listed(frozenset(installed), tuple(missing))


def parse_outdated(output: str) -> list[str]:
    """Return the names of `npm outdated`'s table."""
    lines = (re.split(r"\s|(?<!^)@", line, maxsplit=1) for line in output.split("\n") if line.strip())
    return [words[0] for words in lines if words[0] not in ("", "Package")]


def _command(args: Args, context: Context, verb: list[str], *, named: bool) -> list[str]:
    words = [args.executable or need("npm", context), *verb]
    words += ["--global"] if args.global_ else []
    words += ["--production"] if args.production and verb[0] in ("install", "update", "ci") else []
    words += ["--ignore-scripts"] if args.ignore_scripts else []
    words += ["--unsafe-perm"] if args.unsafe_perm else []
    words += [_label(args)] if named and args.name is not None else []
    words += ["--registry", args.registry] if args.registry else []
    words += ["--no-optional"] if args.no_optional else []
    words += ["--no-bin-links"] if args.no_bin_links else []
    return [*words, "--force"] if args.force else words


def _list(args: Args, context: Context) -> str:
    return call(_command(args, context, ["list", "--json", "--long"], named=False), context, directory=args.path).stdout


def _run_all(args: Args, context: Context, verbs: list[list[str]]) -> JsonObject | None:
    for verb in verbs:
        _run(args, context, verb, named=True)
    return None


def _run(args: Args, context: Context, verb: list[str], *, named: bool) -> None:
    if args.path is not None:
        Path(args.path).mkdir(parents=True, exist_ok=True)
    must(_command(args, context, verb, named=named), context, directory=args.path, live=True)


MODULE = Module(
    name="community.general.npm",
    args=Args,
    plan=plan,
    required_if=(("state", "absent", ("name",)),),
)
