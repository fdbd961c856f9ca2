"""timezone: sets the system's time zone, and whether the hardware clock runs in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.programs import call, locate, must, need
from pybible.agent.modules.rewrite import read_text, write_text
from pybible.wire.values import JsonObject

_ZONES = Path("/usr/share/zoneinfo")
_LINK = Path("/etc/localtime")
_DEBIAN = Path("/etc/timezone")
_RED_HAT = Path("/etc/sysconfig/clock")
_ADJTIME = Path("/etc/adjtime")
_UNKNOWN = "n/a"
_ZONE = re.compile(r"^\s*Time ?zone: *(\S+)", re.MULTILINE)
_LOCAL_CLOCK = re.compile(r"^\s*RTC in local TZ: *(yes|no)", re.MULTILINE)
_SETTING = re.compile(r"^(?P<key>ZONE|TIMEZONE)=\"?(?P<zone>[^\"\s]*)\"?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of timezone."""

    name: str | None = arg(default=None, doc="the zone: Europe/Berlin")
    hwclock: Literal["local", "UTC"] | None = arg(default=None, aliases=("rtc",), doc="what the hardware clock shows")


def plan(args: Args, context: Context) -> Plan:
    """Compare zone and clock with what is asked."""
    timedatectl = _timedatectl(context)
    wanted = {
        key: value for key, value in (("hwclock", args.hwclock), ("name", args.name)) if value is not None
    }  # fmt: skip
    found = status(timedatectl[1]) if timedatectl else {"name": _zone_of_files(args.name), "hwclock": _clock_of_files()}
    before = {key: found[key] for key in wanted}
    if args.name is not None and not (_ZONES / args.name).is_file():
        raise ModuleError(f'Error message:\ngiven timezone "{args.name}" is not available')
    values: JsonObject = {"diff": {"before": before, "after": dict(wanted)}}
    changes = {key: value for key, value in wanted.items() if before[key] != value}
    if not changes:
        return Unchanged(values=values)
    if timedatectl:
        return Change(values=values, apply=partial(_set_by_systemd, timedatectl[0], changes, context))
    return Change(values=values, apply=partial(_set_by_files, changes, context))


def _timedatectl(context: Context) -> tuple[str, str] | None:
    """Return the program and what it says, None where systemd does not run."""
    program = locate("timedatectl", context)
    if program is None:
        return None
    done = call([program], context, also={"LC_ALL": "C"})
    return (program, done.stdout) if done.rc == 0 else None


def status(text: str) -> dict[str, str]:
    """Return the zone and the clock of what timedatectl says."""
    zone, clock = _ZONE.search(text), _LOCAL_CLOCK.search(text)
    return {
        "name": zone[1] if zone else _UNKNOWN,
        "hwclock": _UNKNOWN if clock is None else "local" if clock[1] == "yes" else "UTC",
    }


def _zone_of_files(wanted: str | None) -> str:
    """Return the zone that the file names; when that is the wanted one, what the link says counts too."""
    if _RED_HAT.exists():
        setting = _SETTING.search(read_text(str(_RED_HAT)))
        name = setting["zone"] if setting else ""
    else:
        name = next(iter(read_text(str(_DEBIAN)).split()), "")
    if name and name == wanted:
        if not _LINK.is_symlink():
            return _UNKNOWN
        link = _LINK.resolve()
        if link != (_ZONES / name).resolve():
            return str(link.relative_to(_ZONES)) if link.is_relative_to(_ZONES) else _UNKNOWN
    return name or _UNKNOWN


def _clock_of_files() -> str:
    lines = read_text(str(_ADJTIME)).split("\n")
    return {"LOCAL": "local", "UTC": "UTC"}.get(lines[2].strip() if len(lines) > 2 else "", _UNKNOWN)


def _set_by_systemd(program: str, changes: dict[str, str], context: Context) -> None:
    for key, value in changes.items():
        words = ["set-timezone", value] if key == "name" else ["set-local-rtc", "yes" if value == "local" else "no"]
        must([program, *words], context)


def _set_by_files(changes: dict[str, str], context: Context) -> JsonObject | None:
    clock = changes.get("hwclock")
    if clock is not None:
        option = "--localtime" if clock == "local" else "--utc"
        must([need("hwclock", context), "--systohc", option], context)
    name = changes.get("name")
    if name is None:
        return None
    said = _write_red_hat(name) if _RED_HAT.exists() else _write_debian(name)
    temporary = _LINK.with_name(".localtime.pybible")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(_ZONES / name)
    temporary.replace(_LINK)
    return {"msg": said}


def _write_debian(name: str) -> str:
    old = read_text(str(_DEBIAN)).splitlines()
    write_text(str(_DEBIAN), f"{name}\n", mode=0o644)
    return f"Added 1 line and deleted {len(old)} line(s) on {_DEBIAN}"


def _write_red_hat(name: str) -> str:
    text, count = _SETTING.subn(lambda match: f'{match["key"]}="{name}"', read_text(str(_RED_HAT)))
    if not count:
        text = f'{text}ZONE="{name}"\n'
    write_text(str(_RED_HAT), text)
    return f"Added 1 line and deleted {count} line(s) on {_RED_HAT}"


MODULE = Module(name="timezone", args=Args, plan=plan, required_one_of=(("hwclock", "name"),))
