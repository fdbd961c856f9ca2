"""systemd: starts, stops, enables and masks units. `systemd_service` is the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, need
from pybible.wire.values import JsonObject

_OFFLINE = (
    "Target is a chroot or systemd is offline. This can lead to false positives or prevent the init system tools from "
    "working."
)
_RUNNING = ("active", "activating")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of systemd."""

    name: str | None = arg(default=None, aliases=("service", "unit"), doc="the unit; without a suffix a service")
    state: Literal["reloaded", "restarted", "started", "stopped"] | None = arg(default=None, doc="what it is to do")
    enabled: bool | None = arg(default=None, doc="whether it starts at boot")
    force: bool | None = arg(default=None, doc="overwrite links that are in the way")
    masked: bool | None = arg(default=None, doc="whether nothing can start it")
    daemon_reload: bool = arg(default=False, aliases=("daemon-reload",), doc="have systemd read its units first")
    daemon_reexec: bool = arg(default=False, aliases=("daemon-reexec",), doc="have systemd start itself anew first")
    scope: Literal["system", "user", "global"] = arg(default="system", doc="which systemd")
    no_block: bool = arg(default=False, doc="don't wait until it is done")


@dataclass(frozen=True, slots=True)
class Systemctl:
    """The command, with the options that the task asks for."""

    words: tuple[str, ...]
    context: Context
    also: tuple[tuple[str, str], ...]

    def __call__(self, *words: str) -> Answer:
        """Run it."""
        return call([*self.words, *words], self.context, also=dict(self.also))


def plan(args: Args, context: Context) -> Plan:
    """Compare the unit with what is asked."""
    if args.name is not None:
        for letter in "*?[":
            if letter in args.name:
                raise ModuleError(
                    "This module does not currently support using glob patterns, "
                    f"found '{letter}' in service name: {args.name}"
                )
    systemctl = _systemctl(args, context)
    if (args.daemon_reload or args.daemon_reexec) and not context.check:
        # What systemd says of the unit is known only when it has read it anew.
        return Change(changed=False, apply=partial(_reload, args, context, systemctl))
    values, commands = _decide(args, systemctl)
    if commands:
        return Change(values=values, apply=partial(_act, args, systemctl, values, commands))
    return Unchanged(values=values)


def _systemctl(args: Args, context: Context) -> Systemctl:
    also: dict[str, str] = {}
    environment = {**os.environ, **context.environment}
    if "XDG_RUNTIME_DIR" not in environment:
        also["XDG_RUNTIME_DIR"] = f"/run/user/{os.geteuid()}"
    words = [need("systemctl", context)]
    if args.scope != "system":
        words.append(f"--{args.scope}")
    if args.no_block:
        words.append("--no-block")
    if args.force:
        words.append("--force")
    return Systemctl(tuple(words), context, tuple(also.items()))


def _reload(args: Args, context: Context, systemctl: Systemctl) -> JsonObject:
    warnings = []
    for wanted, verb in ((args.daemon_reload, "daemon-reload"), (args.daemon_reexec, "daemon-reexec")):
        if not wanted:
            continue
        done = systemctl(verb)
        if done.rc and _offline():
            warnings.append(
                f"{verb} failed, but target is a chroot or systemd is offline. Continuing. "
                f"Error was: {done.rc} / {done.stderr}"
            )
        elif done.rc:
            raise ModuleError(f"failure {done.rc} during {verb}: {done.stderr}")
    values, commands = _decide(args, systemctl)
    result = _act(args, systemctl, values, commands)
    if warnings:
        result["warnings"] = [*result.get("warnings", ()), *warnings]
    return {**result, "changed": bool(commands)}


def _offline() -> bool:
    return bool(os.environ.get("SYSTEMD_OFFLINE")) or _changed_root()


def _changed_root() -> bool:
    try:
        own, first = Path("/").stat(), Path("/proc/1/root/.").stat()
    except OSError:
        return False
    return (own.st_ino, own.st_dev) != (first.st_ino, first.st_dev)


def parse_show(text: str) -> dict[str, str]:
    """Return what `systemctl show` prints as a mapping; a value in braces may take several lines."""
    found: dict[str, str] = {}
    key = ""
    lines: list[str] = []
    for line in text.splitlines():
        if lines:
            lines.append(line)
            if line.rstrip().endswith("}"):
                found[key] = "\n".join(lines).strip()
                lines = []
        elif "=" in line:
            key, _, value = line.partition("=")
            if key.startswith("Exec") and value.lstrip().startswith("{") and not value.rstrip().endswith("}"):
                lines = [value]
            else:
                found[key] = value.strip()
    return found


def _decide(args: Args, systemctl: Systemctl) -> tuple[JsonObject, list[list[str]]]:
    """Return the result as far as it is known, and the commands that are needed."""
    unit = args.name
    values: JsonObject = {"name": unit, "status": {}}
    if unit is None:
        return values, []
    shown = systemctl("show", unit)
    status: JsonObject = dict(parse_show(shown.stdout)) if shown.rc == 0 else {}
    script = os.access(f"/etc/init.d/{unit}", os.X_OK)
    load = status.get("LoadState")
    known = "LoadState" in status and load != "not-found"
    if load == "error" and "LoadError" in status:
        raise ModuleError(f"Error loading unit file '{unit}': {status['LoadError']}")
    if not known and shown.rc:
        # systemd answers for a unit that it can't show.
        known = systemctl("is-enabled", unit).stdout.strip() not in ("", "not-found")
    values["status"] = status
    missing = not (known or script)
    commands: list[list[str]] = []
    if missing and args.masked is None:
        raise ModuleError(f"Could not find the requested service {unit}: host")
    if script and not known:
        values["warnings"] = [f"The service ({unit}) is actually an init script but the system is managed by systemd"]
    if args.masked is not None:
        masked = systemctl("is-enabled", unit).stdout.strip() == "masked"
        if masked is not args.masked:
            commands.append(["mask" if args.masked else "unmask", unit])
    if missing and not commands and (args.enabled is not None or args.state is not None):
        raise ModuleError(f"Could not find the requested service {unit}: host")
    if args.enabled is not None:
        enabled = _is_enabled(unit, systemctl, script)
        values["enabled"] = args.enabled
        if enabled is not args.enabled:
            commands.append(["enable" if args.enabled else "disable", unit])
    if args.state is not None:
        commands += _state_commands(args.state, unit, status, values)
    return values, commands


def _is_enabled(unit: str, systemctl: Systemctl, script: bool) -> bool:
    done = systemctl("is-enabled", unit, "-l")
    if done.rc == 0:
        # A unit that starts in this boot only is not enabled for the next one.
        return done.stdout.strip() not in ("enabled-runtime", "linked", "linked-runtime")
    if done.rc == 1 and script and not done.stdout.strip():
        from pybible.agent.modules.sysvinit import is_enabled

        return is_enabled(unit)
    return False


def _state_commands(state: str, unit: str, status: JsonObject, values: JsonObject) -> list[list[str]]:
    values["state"] = state
    if "ActiveState" not in status:
        if not _offline():
            raise ModuleError("Service is in unknown state", status=status)
        values["warnings"] = [*values.get("warnings", ()), _OFFLINE]
        return []
    active = status["ActiveState"] in _RUNNING
    if state == "started":
        return [] if active else [["start", unit]]
    if state == "stopped":
        return [["stop", unit]] if active or status["ActiveState"] == "deactivating" else []
    values["state"] = "started"
    return [["start" if not active else state[:-2], unit]]


def _act(args: Args, systemctl: Systemctl, values: JsonObject, commands: list[list[str]]) -> JsonObject:
    for verb, unit in commands:
        done = systemctl(verb, unit)
        if done.rc == 0:
            continue
        if verb in ("mask", "unmask"):
            raise ModuleError(f"Failed to {verb} the service ({unit}): {done.stderr.strip()}")
        output = done.stdout + done.stderr if verb in ("enable", "disable") else done.stderr
        raise ModuleError(f"Unable to {verb} service {unit}: {output}")
    return values


MODULE = Module(
    name="ansible.legacy.systemd",
    args=Args,
    plan=plan,
    required_one_of=(("state", "enabled", "masked", "daemon_reload", "daemon_reexec"),),
    required_if=(),
)
