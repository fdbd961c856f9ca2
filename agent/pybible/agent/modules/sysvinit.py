"""sysvinit: starts, stops and enables what has a script in /etc/init.d."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import Answer, call, locate, need
from pybible.wire.values import JsonObject

SCRIPTS = "/etc/init.d"
_DOWN_WORDS = ("not running", "stopped", "is dead", "cannot find", "inactive")
_UNSURE = "Unable to determine if service is up, assuming it is down"
_BY_PS = "Used ps output to match service name and determine it is up, this is very unreliable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of sysvinit."""

    name: str = arg(aliases=("service",), doc="the service")
    # Not a Literal: typing takes one for another of the same words in another order, and messages keep the order.
    state: str | None = arg(
        default=None, choices=("started", "stopped", "restarted", "reloaded"), doc="what it is to do"
    )
    enabled: bool | None = arg(default=None, doc="whether it starts at boot")
    sleep: int = arg(default=1, doc="seconds between stop and start of a restart")
    pattern: str | None = arg(default=None, doc="text in the output of ps that says that it runs")
    arguments: str | None = arg(default=None, aliases=("args",), doc="more arguments for the script")
    runlevels: list[str] | None = arg(default=None, doc="the runlevels that `enabled` means")
    daemonize: bool = arg(default=False, doc="the script does not put its service into the background itself")


def script_of(name: str) -> str | None:
    """Return the path of a service's script, None when it has none."""
    path = Path(SCRIPTS) / name
    return str(path) if path.exists() else None


def is_enabled(name: str, runlevel: str | None = None) -> bool:
    """Return whether any runlevel (or that one) starts the service."""
    pattern = f"rc{runlevel}.d/S??{name}" if runlevel is not None else f"rc?.d/S??{name}"
    return any(True for _ in Path("/etc").glob(pattern))


def plan(args: Args, context: Context) -> Plan:
    """Compare the service with what is asked."""
    script = script_of(args.name)
    if script is None:
        raise ModuleError(f"Could not find the requested service {args.name}: ")
    values: JsonObject = {"name": args.name, "status": {"enabled": _entry(False)}}
    warnings: list[str] = []
    steps: list[partial[None]] = []
    status: JsonObject = values["status"]
    if args.enabled is not None:
        _plan_enabled(args, context, status, steps)
    if args.state is not None:
        _plan_state(args, context, script, status, steps, warnings)
    if warnings:
        values["warnings"] = warnings
    if steps:
        return Change(values=values, apply=partial(_apply, steps, values))
    return Unchanged(values=values)


def _apply(steps: Sequence[partial[None]], values: JsonObject) -> JsonObject:
    for step in steps:
        step()
    return values


def _entry(changed: bool) -> JsonObject:
    return {"changed": changed, "rc": None, "stdout": None, "stderr": None}


def _plan_enabled(args: Args, context: Context, status: JsonObject, steps: list[partial[None]]) -> None:
    levels = args.runlevels
    if levels:
        for level in levels:
            if not level.isdigit() and level != "S":
                raise ModuleError(f"Illegal runlevel specified for enable operation on service {args.name}", **status)
        changed = any(is_enabled(args.name, level) is not args.enabled for level in levels)
    else:
        changed = is_enabled(args.name) is not args.enabled
    entry = _entry(changed)
    status["enabled"] = entry
    if changed:
        steps.append(partial(_enable, args, context, entry))


def _enable(args: Args, context: Context, entry: JsonObject) -> None:
    action = "enable" if args.enabled else "disable"
    levels = args.runlevels or []
    if program := locate("update-rc.d", context):
        commands = [[program, args.name, "defaults" if args.enabled and not levels else action, *levels]]
    elif program := locate("chkconfig", context):
        at = ["--level", "".join(levels)] if levels else []
        commands = [[program, "--add", args.name], [program, *at, args.name, "on" if args.enabled else "off"]]
    elif program := locate("rc-update", context):
        verb = "add" if args.enabled else "delete"
        commands = [[program, verb, args.name, level] for level in levels or ["default"]]
    else:
        program = need("insserv", context)
        commands = [[program, *([] if args.enabled else ["-r"]), args.name]]
    for words in commands:
        done = call(words, context)
        if done.rc:
            raise ModuleError(
                f"Failed to {action} service: {args.name}", rc=done.rc, stdout=done.stdout, stderr=done.stderr
            )
        entry |= {"rc": done.rc, "stdout": done.stdout, "stderr": done.stderr}


def running(answer: Answer, name: str, warnings: list[str]) -> bool:
    """Return whether a script's answer to `status` says that the service runs."""
    if answer.rc == 0:
        return True
    if answer.rc in (1, 2, 3, 4, 69):
        return False
    text = answer.stdout.lower()
    if any(word in text for word in _DOWN_WORDS):
        return False
    if "running" in text or "started" in text:
        return True
    warnings.append(_UNSURE)
    return False


def _plan_state(
    args: Args,
    context: Context,
    script: str,
    status: JsonObject,
    steps: list[partial[None]],
    warnings: list[str],
) -> None:
    if args.pattern is not None:
        listed = call([need("ps", context), "auxww"], context)
        up = args.pattern in listed.stdout
        warnings.append(_BY_PS if up else _UNSURE)
    else:
        up = running(call([script, "status"], context), args.name, warnings)
    actions = {"started": [] if up else ["start"], "stopped": ["stop"] if up else []}
    if args.state == "restarted":
        actions["restarted"] = ["stop", "start"]
    elif args.state == "reloaded":
        actions["reloaded"] = ["reload"] if up else ["start"]
    chosen = actions[str(args.state)]
    entry = _entry(bool(chosen))
    status[str(args.state)] = entry
    if chosen:
        steps.append(partial(_control, args, context, script, chosen, entry))


def _control(args: Args, context: Context, script: str, actions: list[str], entry: JsonObject) -> None:
    for index, action in enumerate(actions):
        if index:
            time.sleep(args.sleep)
        done = _script(args, context, [script, action, *(args.arguments or "").split()])
        if done.rc:
            raise ModuleError(
                f"Failed to {action} service: {args.name}", rc=done.rc, stdout=done.stdout, stderr=done.stderr
            )
        entry |= {"rc": done.rc, "stdout": done.stdout, "stderr": done.stderr}


def _script(args: Args, context: Context, words: list[str]) -> Answer:
    if not args.daemonize:
        return call(words, context)
    import subprocess

    subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **context.environment},
        start_new_session=True,
    )
    return Answer(0, "", "")


MODULE = Module(name="sysvinit", args=Args, plan=plan, required_one_of=(("state", "enabled"),))
