"""mount_facts: gathers what is mounted, or is to be, from the places that are named."""

from __future__ import annotations

import fnmatch
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pybible.agent.modules import mount_tables
from pybible.agent.modules.api import Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.mount_tables import Found
from pybible.agent.modules.mounts import sizes
from pybible.agent.modules.process import environment_for
from pybible.agent.modules.programs import need
from pybible.agent.modules.rewrite import read_text
from pybible.wire.values import JsonObject, JsonValue

_DYNAMIC = ("/etc/mtab", "/proc/mounts", "/etc/mnttab")
# /etc/filesystems is AIX's: on Linux the file of that name is something else.
_STATIC = ("/etc/fstab", "/etc/vfstab")
_BY_UUID = Path("/dev/disk/by-uuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of mount_facts."""

    devices: list[str] | None = arg(default=None, doc="patterns of devices")
    fstypes: list[str] | None = arg(default=None, doc="patterns of kinds of file systems")
    sources: list[str] | None = arg(
        default=None, doc="files, the program of mount_binary, or all, static, dynamic; all when not said"
    )
    mount_binary: JsonValue = arg(
        default="mount", raw=True, doc="the program that lists mounts where no dynamic file does; null for none"
    )
    timeout: float | None = arg(default=None, doc="longest time to wait for one mount, or for the program, in seconds")
    on_timeout: Literal["error", "warn", "ignore"] = arg(default="error", doc="what a time that is over means")
    include_aggregate_mounts: bool | None = arg(
        default=None, doc="list every mount, also of one place; not said: warn where there are several"
    )


class _Gathering:
    """One gathering: what was read, and what is to be said about it."""

    def __init__(self, args: Args, context: Context) -> None:
        self._args, self._context = args, context
        self.warnings: list[str] = []

    def found(self) -> list[tuple[str, Found]]:
        """Return the mounts with their sources, in order."""
        return [
            (source, item)
            for source, items in self._sources()
            for item in items
            if _matches(str(item[2]["device"]), self._args.devices)
            and _matches(str(item[2]["fstype"]), self._args.fstypes)
        ]

    def _sources(self) -> Iterator[tuple[str, list[Found]]]:
        seen: set[str] = set()
        names = self._args.sources or ["all"]
        if len(set(names)) < len(names):
            text = "contains duplicate entries, repeat sources will be ignored"
            self.warnings.append(f"mount_facts option 'sources' {text}: {names}")
        for name in dict.fromkeys(names):
            for source in self._expanded(name):
                if self._args.mount_binary is not None and source in ("mount", self._args.mount_binary):
                    yield source, self._of_program()
                    continue
                real = os.path.realpath(source)
                if real in seen or not Path(source).is_file():
                    continue
                seen.add(real)
                yield source, mount_tables.of_file(read_text(source))

    def _expanded(self, name: str) -> list[str]:
        if name not in ("all", "dynamic", "static"):
            return [name]
        dynamic = list(_DYNAMIC) if name != "static" else []
        if dynamic and self._args.mount_binary and not any(Path(file).is_file() for file in dynamic):
            dynamic.append(str(self._args.mount_binary))
        return dynamic + (list(_STATIC) if name != "dynamic" else [])

    def _of_program(self) -> list[Found]:
        program = str(self._args.mount_binary)
        path = need(program, self._context)
        try:
            done = subprocess.run(
                [path], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=self._args.timeout,
                env=environment_for(self._context.environment),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            self._late(f"Command '{path}' timed out after {self._args.timeout} seconds")
            return []
        except (OSError, subprocess.CalledProcessError) as error:
            text = str(error)
            if isinstance(error, subprocess.CalledProcessError):
                text = f"Command '{path}' returned non-zero exit status {error.returncode}."
            raise ModuleError(f"Failed to execute {path}: {text}") from error
        return mount_tables.of_program(done.stdout.decode("utf-8", "surrogateescape"))

    def _late(self, text: str) -> None:
        if self._args.on_timeout == "error":
            raise ModuleError(text)
        if self._args.on_timeout == "warn":
            self.warnings.append(text)

    def described(self, source: str, found: Found, uuids: dict[str, str]) -> JsonObject:
        """Return a mount as facts show it."""
        place, text, rest = found
        size = sizes(place, self._args.timeout)
        if size is None:
            self._late(f"Timed out getting mount size for mount {place} (type {rest['fstype']})")
        device = str(rest["device"])
        uuid = device[5:] if device.startswith("UUID=") else uuids.get(os.path.realpath(device))
        context: JsonObject = {"source": source, "source_data": text}
        return {"mount": place, **rest, **(size or {}), "ansible_context": context, "uuid": uuid}


def plan(args: Args, context: Context) -> Plan:
    """Gather; nothing is ever to change."""
    if args.timeout is not None and args.timeout <= 0:
        raise ModuleError(f"argument 'timeout' must be a positive number or null, not {args.timeout}")
    if args.mount_binary is not None and not isinstance(args.mount_binary, str):
        raise ModuleError(f"argument 'mount_binary' must be a string or null, not {args.mount_binary}")
    if "" in (args.sources or ()):
        raise ModuleError("sources contains an empty string")
    gathering = _Gathering(args, context)
    uuids = _uuids()
    mounts = [(source, gathering.described(source, found, uuids)) for source, found in gathering.found()]
    points: JsonObject = {}
    places: dict[str, list[str]] = {}
    for source, mount in mounts:
        points.setdefault(str(mount["mount"]), mount)
        places.setdefault(source, []).append(str(mount["mount"]))
    if args.include_aggregate_mounts is None:
        gathering.warnings += _repeats(places)
    every = [mount for _, mount in mounts] if args.include_aggregate_mounts else []
    values: JsonObject = {"ansible_facts": {"mount_points": points, "aggregate_mounts": every}}
    return Unchanged(values=values | ({"warnings": list(gathering.warnings)} if gathering.warnings else {}))


def _matches(text: str, patterns: list[str] | None) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns)


def _uuids() -> dict[str, str]:
    if not _BY_UUID.is_dir():
        return {}
    return {os.path.realpath(link): link.name for link in _BY_UUID.iterdir()}


def _repeats(places: dict[str, list[str]]) -> list[str]:
    """Return what is to be said of sources that mount one place more than once."""
    several = [f"{source} ({found})" for source, found in places.items() if len(set(found)) < len(found)]
    if not several:
        return []
    return [
        f"mount_facts: ignoring repeat mounts in the following sources: {', '.join(several)}. You can disable this "
        "warning by configuring the 'include_aggregate_mounts' option as True or False."
    ]


MODULE = Module(name="mount_facts", args=Args, plan=plan)
