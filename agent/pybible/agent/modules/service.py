"""service: starts, stops and enables a service, whatever manages the host's services."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pybible.agent.facts import services
from pybible.agent.facts.source import Host
from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.process import environment_for
from pybible.agent.modules.programs import call, locate, need
from pybible.agent.modules.spec import check_arguments
from pybible.agent.modules.sysvinit import is_enabled, script_of
from pybible.wire.values import JsonObject

_NO_ENABLING = "cannot detect command to enable service {name}, typo or init system potentially unknown"
# What the other service managers' modules don't have.
_ONLY_HERE = {
    "systemd": ("arguments", "pattern", "runlevel", "sleep"),
    "sysvinit": ("runlevel",),
}
_DOWN_WORDS = ("stop", "not running", "is dead", "inactive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of service."""

    name: str = arg(doc="the service")
    state: Literal["started", "stopped", "reloaded", "restarted"] | None = arg(default=None, doc="what it is to do")
    sleep: int | None = arg(default=None, doc="seconds between stop and start of a restart")
    pattern: str | None = arg(default=None, doc="text in the output of ps that says that it runs")
    enabled: bool | None = arg(default=None, doc="whether it starts at boot")
    runlevel: str = arg(default="default", doc="of OpenRC")
    arguments: str = arg(default="", aliases=("args",), doc="more arguments for the script")
    use: str = arg(default="auto", internal=True, doc="the module for the host's service manager")


def plan(args: Args, context: Context) -> Plan:
    """Hand the task to the module of the host's service manager; without one, use the `service` program."""
    manager = (
        args.use
        if args.use != "auto"
        else str(services.collect(Host(environment=environment_for(context.environment)))["service_mgr"])
    )
    manager = manager.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
    if manager in ("systemd", "systemd_service"):
        from pybible.agent.modules.systemd import MODULE as SYSTEMD

        return _delegate(SYSTEMD, "systemd", args, context)
    if manager == "sysvinit":
        from pybible.agent.modules.sysvinit import MODULE as SYSVINIT

        return _delegate(SYSVINIT, "sysvinit", args, context)
    if args.use not in ("auto", "service", manager):
        raise ModuleError(f"no module for the service manager {args.use}")
    return _plan(args, context)


def _delegate(module: Module[Any], manager: str, args: Args, context: Context) -> Plan:
    given: JsonObject = {}
    warnings = []
    for name in ("name", "state", "enabled", "sleep", "pattern", "arguments", "runlevel"):
        value = getattr(args, name)
        if value in (None, "") or (name == "runlevel" and value == "default"):
            continue
        if name in _ONLY_HERE[manager]:
            warnings.append(f'Ignoring "{name}" as it is not used in "{manager}"')
        else:
            given[name] = value
    found = module.plan(module.args(**check_arguments(module, given).values), context)
    if found is not None and warnings:
        found.values["warnings"] = [*warnings, *found.values.get("warnings", ())]
    return found


def _plan(args: Args, context: Context) -> Plan:
    control = _control_words(args, context)
    values: JsonObject = {"name": args.name}
    commands: list[list[str]] = []
    if args.enabled is not None:
        values["enabled"] = args.enabled
        commands += _enabling(args, context)
    pauses = False
    if args.state is not None:
        up = _running(args, context, control)
        values["state"] = "stopped" if args.state == "stopped" else "started"
        actions = _actions(args.state, up)
        pauses = actions == ["stop", "start"]
        commands += [[*control, action, *args.arguments.split()] for action in actions]
    if not commands:
        return Unchanged(values=values)
    if context.check:
        words: JsonObject = values if args.state is None else {"msg": "service state changed"}
        return Change(values=words, apply=_nothing)
    return Change(values=values, apply=partial(_apply, args, context, commands, args.sleep if pauses else None))


def _nothing() -> None:
    return None


def _actions(state: str, up: bool) -> list[str]:
    if state == "started":
        return [] if up else ["start"]
    if state == "stopped":
        return ["stop"] if up else []
    if state == "reloaded":
        return ["reload" if up else "start"]
    return ["stop", "start"]


def _control_words(args: Args, context: Context) -> list[str]:
    script = script_of(args.name)
    program = locate("service", context)
    if program is not None and (script is not None or Path("/run/systemd/system").is_dir()):
        return [program, args.name]
    if script is None:
        raise ModuleError(f"Could not find the requested service {args.name}: host")
    return [script]


def _running(args: Args, context: Context, control: list[str]) -> bool:
    if args.pattern is not None:
        own = str(os.getpid())
        listed = call([need("ps", context), "auxww"], context).stdout.splitlines()
        return any(args.pattern in line and own not in line.split()[:2] for line in listed)
    done = call([*control, "status", *args.arguments.split()], context, also={"LC_ALL": "C"})
    text = done.stdout.lower()
    if done.rc in (1, 2, 3, 4, 69) or any(word in text for word in _DOWN_WORDS):
        return False
    if done.rc == 0:
        return True
    raise ModuleError("failed determining service state, possible typo of service name?")


def _enabling(args: Args, context: Context) -> list[list[str]]:
    if is_enabled(args.name) is args.enabled:
        return []
    if program := locate("update-rc.d", context):
        return [[program, args.name, "defaults" if args.enabled else "disable"]]
    if program := locate("chkconfig", context):
        return [[program, "--add", args.name], [program, args.name, "on" if args.enabled else "off"]]
    if program := locate("rc-update", context):
        return [[program, "add" if args.enabled else "delete", args.name, args.runlevel]]
    raise ModuleError(_NO_ENABLING.format(name=args.name))


def _apply(args: Args, context: Context, commands: list[list[str]], pause: int | None) -> None:
    for words in commands:
        done = call(words, context)
        if done.rc:
            raise ModuleError(done.stderr or done.stdout)
        if pause and "stop" in words:
            time.sleep(pause)


MODULE = Module(name="ansible.legacy.service", args=Args, plan=plan, required_one_of=(("state", "enabled"),))
