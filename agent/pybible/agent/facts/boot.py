"""boot: the kernel's command line, load, and whether this is a chroot."""

from __future__ import annotations

import os
import shlex

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject, JsonValue

_QUOTING = frozenset("'\"\\")


def _command_line(host: Host) -> JsonObject:
    text = host.text("/proc/cmdline")
    try:
        # Most are plain words, and shlex goes by single characters.
        words = shlex.split(text) if _QUOTING & set(text) else text.split()
    except ValueError:
        words = text.split()
    last: JsonObject = {}
    every: JsonObject = {}
    for word in words:
        name, equals, given = word.partition("=")
        value: JsonValue = given if equals else True
        last[name] = value
        if name not in every:
            every[name] = value
        elif isinstance(every[name], list):
            every[name].append(value)
        else:
            every[name] = [every[name], value]
    return {"cmdline": last, "proc_cmdline": every}


def _load(host: Host) -> JsonObject:
    try:
        one, five, fifteen = os.getloadavg()
    except OSError:
        return {}
    return {"loadavg": {"1m": one, "5m": five, "15m": fifteen}}


def _chroot(host: Host) -> JsonObject:
    if host.environment.get("debian_chroot"):
        return {"is_chroot": True}
    own = host.path("/").stat()
    try:
        first = host.path("/proc/1/root/.").stat()
    except OSError:
        # Another user's process 1 hides its root: the root of a file system has inode 2 (btrfs 256, xfs 128).
        return {"is_chroot": own.st_ino not in (2, 128, 256)}
    return {"is_chroot": (own.st_ino, own.st_dev) != (first.st_ino, first.st_dev)}


COMMAND_LINE = Collector(name="cmdline", collect=_command_line, minimal=True)
LOAD = Collector(name="loadavg", collect=_load)
CHROOT = Collector(name="chroot", collect=_chroot, subsets=("is_chroot",))
