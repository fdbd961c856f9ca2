"""zypper: installs, upgrades and removes packages of openSUSE and its kin."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, need
from pybible.agent.modules.zypper_output import OutputError, Said, parse
from pybible.wire.values import JsonObject

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
_SPEC = re.compile(r"^([+~-]?)(.*?)(<=|>=|=|<|>)?((?<=[<>=]).+)?$")
# A reboot is needed; zypper wants to be run again; repositories were left out.
_REBOOT, _AGAIN, _SKIPPED, _SCRIPT_FAILED = 102, 103, 106, 107
_TRANSACTIONAL = "/sbin/transactional-update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of zypper."""

    name: list[str] = arg(aliases=("pkg",), doc="packages, with or without versions, files, addresses, or `*`")
    state: Literal["present", "latest", "absent", "dist-upgrade", "installed", "removed"] = arg(
        default="present", doc="what is wanted"
    )
    type: Literal["package", "patch", "pattern", "product", "srcpackage", "application"] = arg(
        default="package", doc="what the names are"
    )
    extra_args_precommand: str | None = arg(default=None, doc="more arguments for zypper, before its command")
    disable_gpg_check: bool = arg(default=False, doc="take unsigned packages")
    auto_import_keys: bool = arg(default=False, doc="take new keys of repositories")
    disable_recommends: bool = arg(default=True, doc="without what they recommend")
    force: bool = arg(default=False, doc="install again, older, or from another vendor")
    force_resolution: bool = arg(default=False, doc="let zypper solve conflicts")
    update_cache: bool = arg(default=False, aliases=("refresh",), doc="refresh repositories first")
    oldpackage: bool = arg(default=False, doc="take an older version")
    extra_args: str | None = arg(default=None, doc="more arguments for the command")
    allow_vendor_change: bool = arg(default=False, doc="with dist-upgrade, take packages of other vendors")
    replacefiles: bool = arg(default=False, doc="install over files of other packages")
    clean_deps: bool = arg(default=False, doc="remove what only the removed needed")
    simple_errors: bool = arg(default=False, doc="failures are told by their messages in any case: accepted as it is")
    quiet: bool = arg(default=True, doc="say less")
    skip_post_errors: bool = arg(default=False, doc="take no notice of scripts that fail after the installation")


@dataclass(frozen=True, slots=True)
class Name:
    """A package's name as it was asked for. remove: it stands with a minus."""

    name: str
    version: str
    remove: bool

    @property
    def text(self) -> str:
        """Return it as zypper takes it."""
        return f"{'-' if self.remove else '+'}{self.name}{self.version}"


def parse_name(text: str) -> Name:
    """Take a specifier apart: NAME, NAME=VERSION, NAME>=VERSION, with + or - before it."""
    matched = _SPEC.match(text)
    if matched is None:
        return Name(text, "", False)
    sign, name, operator, version = matched.groups()
    return Name(name, f"{operator or ''}{version or ''}", sign in ("-", "~"))


def plan(args: Args, context: Context) -> Plan:
    """In check mode zypper simulates; otherwise it does it."""
    if context.check:
        values = _work(args, context)
        return Change(values=values, apply=_nothing) if values.pop("changed") else Unchanged(values=values)
    return Change(changed=False, apply=partial(_work, args, context))


def _nothing() -> None:
    return None


def _work(args: Args, context: Context) -> JsonObject:
    zypper = _Zypper(args, context)
    names = [name for name in args.name if name]
    everything = names == ["*"] and args.state in ("latest", "dist-upgrade")
    if args.state == "dist-upgrade" and not everything:
        raise ModuleError("Can not dist-upgrade specific packages.")
    values: JsonObject = {
        "changed": False, "name": [*args.name], "state": args.state, "update_cache": args.update_cache, "rc": 0,
    }  # fmt: skip
    if args.update_cache and not context.check:
        zypper.refresh()
    if everything:
        return values | zypper.upgrade_all()
    return values | zypper.packages(names)


class _Zypper:
    """zypper with the options that a task asks for."""

    def __init__(self, args: Args, context: Context) -> None:
        self._args = args
        self._context = context
        self._program = need("zypper", context)

    def _command(self, verb: str) -> list[str]:
        args = self._args
        words = [self._program, "--non-interactive", "--xmlout"]
        if _is_transactional():
            words = [_TRANSACTIONAL, "--continue", "--drop-if-no-change", "--quiet", "run", *words]
        words += ["--quiet"] if args.quiet or verb in ("search", "refresh") else []
        words += shlex.split(args.extra_args_precommand or "")
        if verb in ("install", "update", "patch", "dist-upgrade"):
            words += ["--no-gpg-checks"] if args.disable_gpg_check else []
            words += ["--gpg-auto-import-keys"] if args.auto_import_keys else []
        if verb == "search":
            words.append("--disable-repositories")
        words.append(verb)
        words += ["--type", args.type] if verb not in ("patch", "dist-upgrade", "refresh") else []
        return words

    def _options(self, verb: str, *, old: bool) -> list[str]:
        args = self._args
        words = ["--dry-run"] if self._context.check else []
        if verb == "remove":
            return [*words, *(["--clean-deps"] if args.clean_deps else []), *shlex.split(args.extra_args or "")]
        words.append("--auto-agree-with-licenses")
        words += ["--no-recommends"] if args.disable_recommends else []
        words += ["--force"] if args.force else []
        words += ["--force-resolution"] if args.force_resolution else []
        words += ["--oldpackage"] if old or args.oldpackage else []
        words += ["--replacefiles"] if args.replacefiles else []
        words += ["--allow-vendor-change"] if args.allow_vendor_change and verb == "dist-upgrade" else []
        return words + shlex.split(args.extra_args or "")

    def refresh(self) -> None:
        """Refresh the repositories."""
        words = self._command("refresh")
        done = call(words, self._context, also=_ENVIRONMENT, live=True)
        if done.rc:
            raise self._failure(words, done, _said(words, done))

    def upgrade_all(self) -> JsonObject:
        """Bring all packages, or all patches, up to date."""
        verb = "patch" if self._args.type == "patch" else "update"
        if self._args.state == "dist-upgrade":
            verb = "dist-upgrade"
        return self._change([*self._command(verb), *self._options(verb, old=False)])

    def packages(self, names: list[str]) -> JsonObject:
        """Install, upgrade or remove single packages."""
        files = [name for name in names if "://" in name or name.endswith(".rpm")]
        parsed = [parse_name(name) for name in names if name not in files]
        absent = self._args.state in ("absent", "removed")
        removed = [name for name in parsed if absent or name.remove]
        wanted = [] if absent else [name for name in parsed if not name.remove]
        asked = [name for name in parsed if name in removed or not name.version]
        there: frozenset[str] = frozenset()
        if self._args.state != "latest" or removed:
            there = self._installed([name.name for name in asked])
        if self._args.state in ("present", "installed"):
            wanted = [name for name in wanted if name.version or name.name not in there]
        removed = [name for name in removed if name.name in there]
        if not (wanted or removed or files):
            return self._shown(None)
        if absent:
            words = [*self._command("remove"), *self._options("remove", old=False)]
            return self._change([*words, *(name.name + name.version for name in removed)])
        options = self._options("install", old=any(name.version for name in wanted))
        named = [name.text for name in parsed if name in removed or name in wanted]
        return self._change([*self._command("install"), *options, "--", *named, *files])

    def _installed(self, names: list[str]) -> frozenset[str]:
        if not names:
            return frozenset()
        words = [*self._command("search"), "--match-exact", "--details", "--installed-only", *names]
        done = call(words, self._context, also=_ENVIRONMENT)
        return _said(words, done).installed

    def _change(self, words: list[str]) -> JsonObject:
        while True:
            done = call(words, self._context, also=_ENVIRONMENT, live=True)
            said = _said(words, done)
            if done.rc != _AGAIN:
                break
        good = {0, _REBOOT, _SKIPPED, *((_SCRIPT_FAILED,) if self._args.skip_post_errors else ())}
        if done.rc not in good:
            raise self._failure(words, done, said)
        shown: JsonObject = {"rc": done.rc, "cmd": [*words]} | self._shown(said)
        if said.changes:
            shown |= {"changed": True, "stdout": done.stdout, "stderr": done.stderr}
        return shown

    def _shown(self, said: Said | None) -> JsonObject:
        if not self._context.diff:
            return {}
        return {"diff": {"prepared": said.prepared() if said else ""}}

    def _failure(self, words: list[str], done: Answer, said: Said) -> ModuleError:
        msg = "\n".join(said.errors) or f"Zypper run command failed with return code {done.rc}."
        return ModuleError(msg, cmd=[*words], rc=done.rc, stdout=done.stdout, stderr=done.stderr)


def _said(words: list[str], done: Answer) -> Said:
    try:
        return parse(done.stdout)
    except OutputError as error:
        raise ModuleError(
            f"Failed to parse zypper xml output: {error}",
            cmd=[*words], rc=done.rc, stdout=done.stdout, stderr=done.stderr,
        ) from error  # fmt: skip


def _is_transactional() -> bool:
    return Path(_TRANSACTIONAL).exists() and bool(os.statvfs("/").f_flag & os.ST_RDONLY)


MODULE = Module(name="community.general.zypper", args=Args, plan=plan, exclusive=True)
