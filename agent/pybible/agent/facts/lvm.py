"""lvm: volume groups, logical and physical volumes, as LVM's own programs list them. They answer to root alone."""

from __future__ import annotations

import os

from pybible.agent.facts.source import Host
from pybible.wire.values import JsonObject, JsonValue

_OPTIONS = ("--noheadings", "--nosuffix", "--units", "g", "--separator", ",")


def volumes(host: Host) -> JsonValue:
    """Return what there is, sizes in GiB; N/A without LVM or without the right to ask."""
    if os.geteuid() != 0 or host.program("vgs") is None:
        return "N/A"
    # Each of these programs costs a host 7 ms of CPU. Without a physical volume, as on most, there is nothing else.
    listed = host.answer("pvs", *_OPTIONS)
    if listed is not None and not listed.strip():
        return {"lvs": {}, "vgs": {}, "pvs": {}}
    groups: JsonObject = {
        name: {"size_g": size, "free_g": free, "num_lvs": logical, "num_pvs": physical}
        for name, physical, logical, _snapshots, _attributes, size, free in _rows(host.run("vgs", *_OPTIONS), 7)
    }
    logical: JsonObject = {
        name: {"size_g": size, "vg": group} for name, group, _attributes, size in _rows(host.run("lvs", *_OPTIONS), 4)
    }
    physical: JsonObject = {
        _mapped(host, name): {"size_g": size, "free_g": free, "vg": group}
        for name, group, _format, _attributes, size, free in _rows(listed or "", 6)
    }
    return {"lvs": logical, "vgs": groups, "pvs": physical}


def _rows(listed: str, columns: int) -> list[list[str]]:
    rows = [line.strip().split(",") for line in listed.splitlines()]
    return [row[:columns] for row in rows if len(row) >= columns]


def _mapped(host: Host, device: str) -> str:
    """Return the name of the device mapper's for /dev/dm-N, any other as it is."""
    if not device.startswith("/dev/dm-"):
        return device
    name = host.run("dmsetup", "info", "-C", "--noheadings", "-o", "name", device).strip()
    return f"/dev/mapper/{name}" if name else device
