"""apt: installs, upgrades and removes packages of Debian and its kin, by apt-get and dpkg alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.apt_cache import Cache, refresh
from pybible.agent.modules.apt_command import AptGet, nothing_done, shown_diff
from pybible.agent.modules.apt_deb import install_file
from pybible.agent.modules.apt_names import Names, Wanted
from pybible.agent.modules.programs import call, locate
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of apt."""

    state: Literal["absent", "build-dep", "fixed", "latest", "present"] = arg(default="present", doc="what is wanted")
    update_cache: bool | None = arg(default=None, aliases=("update-cache",), doc="run apt-get update first")
    update_cache_retries: int = arg(default=5, doc="how often that is tried again")
    update_cache_retry_max_delay: int = arg(default=12, doc="longest time between two tries, in seconds")
    cache_valid_time: int = arg(default=0, doc="no update when the last one is younger, in seconds")
    purge: bool = arg(default=False, doc="remove configuration with the packages")
    package: list[str] | None = arg(default=None, aliases=("name", "pkg"), doc="packages: NAME, NAME=VERSION, patterns")
    deb: PathText | None = arg(default=None, doc="a package's file, or its address")
    install_recommends: bool | None = arg(default=None, aliases=("install-recommends",), doc="with what they recommend")
    force: bool = arg(default=False, doc="all that apt-get can be forced to")
    upgrade: Literal["dist", "full", "no", "safe", "yes"] | None = arg(default=None, doc="upgrade all packages")
    dpkg_options: str = arg(default="force-confdef,force-confold", doc="options of dpkg")
    autoremove: bool = arg(default=False, doc="remove what no package needs any more")
    autoclean: bool = arg(default=False, doc="clear the cache of packages that are no longer to be had")
    fail_on_autoremove: bool = arg(default=False, doc="fail when packages would be removed")
    policy_rc_d: int | None = arg(default=None, doc="exit status of policy-rc.d while packages are installed")
    only_upgrade: bool = arg(default=False, doc="touch only what is installed")
    force_apt_get: bool = arg(default=False, doc="apt-get, not aptitude")
    clean: bool = arg(default=False, doc="clear the cache of packages")
    allow_unauthenticated: bool = arg(default=False, aliases=("allow-unauthenticated",), doc="take unsigned packages")
    allow_downgrade: bool = arg(
        default=False,
        aliases=("allow-downgrade", "allow_downgrades", "allow-downgrades"),
        doc="take a version that is older than the installed one",
    )
    allow_change_held_packages: bool = arg(default=False, doc="change packages that are on hold")
    lock_timeout: int = arg(default=60, doc="seconds to wait for another program that has apt's lock")
    default_release: str | None = arg(default=None, aliases=("default-release",), doc="the release to take from")
    auto_install_module_deps: bool = arg(default=True, doc="nothing to install here: accepted as it is")


def plan(args: Args, context: Context) -> Plan:
    """In check mode apt-get simulates; otherwise what is to do is known only when the lists are fresh."""
    if context.check:
        values = _work(args, context)
        if values.pop("changed"):
            return Change(values=values, diff=values.pop("diff", None), apply=_nothing)
        values.pop("diff", None)
        return Unchanged(values=values)
    return Change(changed=False, apply=partial(_work, args, context))


def _nothing() -> None:
    return None


def _work(args: Args, context: Context) -> JsonObject:
    apt = AptGet(args, context)
    names = [name.strip() for name in args.package or () if name.strip()]
    if args.clean:
        values = apt.clean()
        if not names and args.upgrade in (None, "no") and args.deb is None:
            return values
    cache = refresh(args, context, apt)
    if not names and args.upgrade in (None, "no") and args.deb is None and not (args.autoremove or args.autoclean):
        return {"changed": cache.updated, "cache_updated": cache.updated, "cache_update_time": cache.time}
    if args.deb is not None:
        return install_file(args, context, apt)
    if args.upgrade not in (None, "no"):
        return _upgrade(args, context, apt)
    if "*" in names and args.state == "latest":
        if len(names) > 1:
            raise ModuleError("unable to install additional packages when upgrading all installed packages")
        return _upgrade(args, context, apt)
    if names:
        return _packages(args, context, apt, cache, names)
    if args.autoclean:
        return apt.tidy("autoclean")
    return apt.tidy("autoremove")


def _packages(args: Args, context: Context, apt: AptGet, cache: Cache, names: list[str]) -> JsonObject:
    known = Names(args, context)
    if args.state == "absent":
        return _remove(args, context, apt, known, names)
    manual: list[str] = []
    if args.state == "build-dep":
        chosen = [Wanted(name) for name in names]
    else:
        chosen, manual = known.to_install(names)
    stamp: JsonObject = {"cache_updated": cache.updated, "cache_update_time": cache.time}
    if not chosen and args.state != "fixed":
        _mark_manual(manual, context)
        return {"changed": False, **stamp}
    verb = {"build-dep": ["build-dep"], "fixed": ["--fix-broken", "install"]}.get(args.state, ["install"])
    words = [*verb, *(wanted.text for wanted in chosen)]
    done, shown = apt.run(words, install=True)
    if done.rc:
        raise ModuleError(
            f"'{shown}' failed: {done.stderr}", stdout=done.stdout, stderr=done.stderr, rc=done.rc, **stamp
        )
    _mark_manual(manual, context)
    changed = True if args.state not in ("build-dep", "fixed") else not nothing_done(done.stdout)
    result: JsonObject = {"changed": changed, "stdout": done.stdout, "stderr": done.stderr, **stamp}
    return result | {"diff": shown_diff(done.stdout) if context.diff else {}}


def _mark_manual(names: list[str], context: Context) -> None:
    program = locate("apt-mark", context)
    if names and program is not None and not context.check:
        call([program, "manual", *names], context)


def _remove(args: Args, context: Context, apt: AptGet, known: Names, names: list[str]) -> JsonObject:
    chosen = known.to_remove(names)
    if not chosen:
        return {"changed": False}
    words = [*(["--purge"] if args.purge else []), *(["--auto-remove"] if args.autoremove else []), "remove", *chosen]
    done, _ = apt.run(words, quiet=True)
    if done.rc:
        listed = " ".join(f"'{name}'" for name in chosen)
        raise ModuleError(
            f"'apt-get remove {listed}' failed: {done.stderr}", stdout=done.stdout, stderr=done.stderr, rc=done.rc
        )
    diff = shown_diff(done.stdout) if context.diff else {}
    return {"changed": True, "stdout": done.stdout, "stderr": done.stderr, "diff": diff}


def _upgrade(args: Args, context: Context, apt: AptGet) -> JsonObject:
    verb = ["upgrade", "--with-new-pkgs"]
    if args.upgrade == "dist" or (args.upgrade == "full" and locate("aptitude", context) is None):
        verb = ["dist-upgrade"]
    if args.autoremove:
        verb.append("--auto-remove")
    done, _ = apt.run(verb)
    if done.rc:
        raise ModuleError(f"'{apt.program} {' '.join(verb)}' failed: {done.stderr}", stdout=done.stdout, rc=done.rc)
    result: JsonObject = {"msg": done.stdout, "stdout": done.stdout, "stderr": done.stderr}
    if nothing_done(done.stdout):
        return {"changed": False, **result}
    return {"changed": True, **result, "diff": shown_diff(done.stdout) if context.diff else {}}


MODULE = Module(
    name="apt",
    args=Args,
    plan=plan,
    mutually_exclusive=(("deb", "package", "upgrade"),),
    exclusive=True,
)
