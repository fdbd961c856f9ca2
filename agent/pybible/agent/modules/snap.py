"""snap: installs, removes and sets up snaps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, need
from pybible.wire.values import JsonObject, JsonValue, loads

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
_RISKS = frozenset(("stable", "candidate", "beta", "edge"))
_DONE = {"absent": "snaps_removed", "enabled": "snaps_enabled", "disabled": "snaps_disabled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of snap."""

    name: list[str] = arg(doc="snaps, or their files")
    state: Literal["absent", "present", "enabled", "disabled"] = arg(default="present", doc="what is wanted")
    classic: bool = arg(default=False, doc="install without confinement, where a snap asks for that")
    channel: str | None = arg(default=None, doc="release to install and follow: `stable`")
    options: list[str] | None = arg(default=None, doc="settings: KEY=VALUE, or SNAP:KEY=VALUE")
    dangerous: bool = arg(default=False, doc="install a file that nobody signed")


@dataclass(frozen=True, slots=True)
class Installed:
    """A snap that is there: the channel that it follows, and whether it is off."""

    tracking: str
    disabled: bool


def plan(args: Args, context: Context) -> Plan:
    """Compare the snaps with what is asked."""
    program = need("snap", context)
    values: JsonObject = {"version": parse_version(_ask([program, "version"], context))}
    listed = parse_list(_ask([program, "list"], context))
    names = [_real_name(name, program, context) for name in args.name]
    if args.state != "present":
        return _other(args, context, program, values, [name for name in names if name in listed], listed)
    values |= {"channel": args.channel or "stable", "classic": args.classic, "snap_names": [*names]}
    commands: list[list[str]] = []
    changed = []
    fresh: list[str] = []
    for given, name in zip(args.name, names, strict=True):
        there = listed.get(name)
        if there is None:
            fresh.append(given)
        elif args.channel is not None and full_channel(args.channel) != full_channel(there.tracking):
            commands.append([program, "refresh", *_flags(args), given])
        else:
            continue
        changed.append(name)
    if fresh and not _flags(args):
        commands.insert(0, [program, "install", *fresh])
    else:
        commands += [[program, "install", *_flags(args), given] for given in fresh]
    if changed:
        values["snaps_installed"] = [*changed]
    settings = _settings(args, names, listed, program, context)
    if settings:
        values["options_changed"] = [f"{name}:{setting}" for name, each in settings.items() for setting in each]
        commands += [[program, "set", name, *each] for name, each in settings.items()]
    if not commands:
        return Unchanged(values=values)
    return Change(values=values, apply=partial(_run, commands, context, values, shown=bool(changed)))


def _flags(args: Args) -> list[str]:
    channel = ["--channel", args.channel] if args.channel is not None else []
    return [*(["--classic"] if args.classic else []), *channel, *(["--dangerous"] if args.dangerous else [])]


def _other(
    args: Args, context: Context, program: str, values: JsonObject, names: list[str], listed: Mapping[str, Installed]
) -> Plan:
    if args.state != "absent":
        names = [name for name in names if listed[name].disabled == (args.state == "enabled")]
    if not names:
        return Unchanged(values=values)
    verb = {"absent": "remove", "enabled": "enable", "disabled": "disable"}[args.state]
    values |= {_DONE[args.state]: [*names]}
    # Of these only remove takes more than one.
    commands = [[program, verb, *names]] if verb == "remove" else [[program, verb, name] for name in names]
    return Change(values=values, apply=partial(_run, commands, context, values, shown=True))


def _ask(words: list[str], context: Context) -> str:
    return call(words, context, also=_ENVIRONMENT).stdout


def _real_name(name: str, program: str, context: Context) -> str:
    """Return the name of the snap in a file, any other name as it is."""
    if "/" not in name and not name.endswith(".snap"):
        return name
    for line in _ask([program, "info", name], context).split("\n"):
        if line.startswith("name:"):
            return line.removeprefix("name:").strip()
    raise ModuleError(f"snap: {name} is no snap's file")


def parse_version(output: str) -> JsonObject:
    """Return the parts of snap and their versions, of lines `NAME VERSION`."""
    lines = (line.split(None, 1) for line in output.split("\n"))
    return {words[0]: words[1].strip() for words in lines if len(words) == 2}


def parse_list(output: str) -> dict[str, Installed]:
    """Return the snaps of snap's table: Name Version Rev Tracking Publisher Notes."""
    found: dict[str, Installed] = {}
    for line in output.split("\n")[1:]:
        words = line.split()
        if len(words) >= 6:
            found[words[0]] = Installed(words[3], "disabled" in words[-1].split(","))
    return found


def full_channel(channel: str) -> str:
    """Return a channel with its track: `edge` is latest/edge, `6` is 6/stable."""
    if channel in _RISKS:
        return f"latest/{channel}"
    return channel if "/" in channel else f"{channel}/stable"


def _settings(
    args: Args, names: list[str], listed: Mapping[str, Installed], program: str, context: Context
) -> dict[str, list[str]]:
    """Return snap -> the settings that it does not have yet."""
    found: dict[str, list[str]] = {}
    for name in names if args.options else ():
        now: dict[str, str] = {}
        if name in listed:
            now = parse_settings(_ask([program, "get", "-d", name], context))
        for option in args.options or ():
            key, equals, value = option.partition("=")
            owner, colon, rest = key.partition(":")
            key = rest if colon else key
            if not equals or not key:
                raise ModuleError(f"Cannot parse set option '{option}'")
            if (not colon or owner == name) and now.get(key) != value:
                found.setdefault(name, []).append(f"{key}={value}")
    return found


def parse_settings(output: str) -> dict[str, str]:
    """Return a snap's settings by their dotted names."""
    try:
        document = loads(output or "{}")
    except ValueError:
        return {}
    found: dict[str, str] = {}
    _flatten("", document if isinstance(document, dict) else {}, found)
    return found


def _flatten(prefix: str, value: JsonValue, found: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            _flatten(f"{prefix}.{name}" if prefix else str(name), each, found)
    else:
        found[prefix] = value if isinstance(value, str) else json.dumps(value)


def _run(commands: list[list[str]], context: Context, values: JsonObject, *, shown: bool) -> JsonObject:
    for words in commands:
        done = call(words, context, also=_ENVIRONMENT, live=True)
        command = " ".join(words)
        if not done.rc:
            continue
        if "classic confinement" in done.stderr:
            msg = f"Couldn't install {words[-1]} because it requires classic confinement"
        else:
            msg = f"snap failed: {done.stderr.strip()}"
        raise ModuleError(msg, **values, cmd=command, rc=done.rc, stdout=done.stdout, stderr=done.stderr)
    return {"cmd": " ".join(commands[0])} if shown else {}


MODULE = Module(name="community.general.snap", args=Args, plan=plan, exclusive=True)
