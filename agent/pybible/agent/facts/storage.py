"""storage: block devices, the links to them, and mounted file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pybible.agent.facts import hardware, lvm
from pybible.agent.facts.source import Collector, Host, whole
from pybible.agent.modules.mounts import fields_of, sizes
from pybible.wire.values import JsonObject, JsonValue

_BLOCKS = "/sys/block"
_LINKS = {"ids": "by-id", "uuids": "by-uuid", "labels": "by-label"}
_UNITS = ("Bytes", "KB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")


def collect(host: Host) -> JsonObject:
    """Gather all that belongs to the subset hardware."""
    links = _links(host)
    return {
        **hardware.memory(host),
        **hardware.processors(host),
        **hardware.firmware(host),
        **hardware.uptime(host),
        "device_links": links,
        "devices": {name: _device(host, name, links) for name in _devices(host)},
        "mounts": _mounts(host, links),
        "lvm": lvm.volumes(host),
    }


def _links(host: Host) -> JsonObject:
    found: JsonObject = {kind: {} for kind in (*_LINKS, "masters")}
    for kind, folder in _LINKS.items():
        for name in host.names(f"/dev/disk/{folder}"):
            path = host.path(f"/dev/disk/{folder}/{name}")
            if path.is_symlink():
                shown = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), name)
                found[kind].setdefault(path.readlink().name, []).append(shown)
    for block in host.names(_BLOCKS):
        for slave in host.names(f"{_BLOCKS}/{block}/slaves"):
            found["masters"].setdefault(slave, []).append(block)
    return found


def _links_of(name: str, links: JsonObject) -> JsonObject:
    return {kind: sorted(links[kind].get(name, [])) for kind in (*_LINKS, "masters")}


def _devices(host: Host) -> list[str]:
    return host.names(_BLOCKS)


def _device(host: Host, name: str, links: JsonObject) -> JsonObject:
    folder = f"{_BLOCKS}/{name}"
    real = os.path.realpath(host.path(folder))
    sectors = whole(host.text(f"{folder}/size")) or 0
    scheduler = re.search(r"\[(.+?)\]", host.text(f"{folder}/queue/scheduler"))
    device: JsonObject = {"virtual": 1 if "/virtual" in real or "/virtio" in real else None}
    device["links"] = _links_of(name, links)
    # A loop device, of which a host may have many, has no such folder.
    has_details = host.exists(f"{folder}/device")
    for key in ("vendor", "model", "sas_address", "sas_device_handle"):
        device[key] = (host.text(f"{folder}/device/{key}").strip() or None) if has_details else None
    serial = host.text(f"{folder}/device/serial").strip() if has_details else ""
    if serial:
        device["serial"] = serial
    device["removable"] = host.text(f"{folder}/removable") or None
    device["support_discard"] = host.text(f"{folder}/queue/discard_granularity") or None
    device["partitions"] = {
        part: _partition(host, name, part, links) for part in host.names(folder) if _is_partition(host, name, part)
    }
    device["rotational"] = host.text(f"{folder}/queue/rotational") or None
    device["scheduler_mode"] = scheduler[1] if scheduler else host.text(f"{folder}/queue/scheduler")
    device["sectorsize"] = host.text(f"{folder}/queue/logical_block_size") or "512"
    device["sectors"] = sectors
    device["size"] = human_size(sectors * 512)
    device["host"] = ""
    device["holders"] = host.names(f"{folder}/holders")
    return device


def _is_partition(host: Host, name: str, part: str) -> bool:
    return part.startswith(name) and host.exists(f"{_BLOCKS}/{name}/{part}/partition")


def _partition(host: Host, name: str, part: str, links: JsonObject) -> JsonObject:
    folder = f"{_BLOCKS}/{name}/{part}"
    sectors = whole(host.text(f"{folder}/size")) or 0
    uuids = links["uuids"].get(part)
    return {
        "links": _links_of(part, links),
        "start": host.text(f"{folder}/start") or "0",
        "sectors": sectors,
        "sectorsize": host.text(f"{_BLOCKS}/{name}/queue/logical_block_size") or "512",
        "size": human_size(sectors * 512),
        "uuid": uuids[0] if uuids else None,
        "holders": host.names(f"{folder}/holders"),
    }


def human_size(size: int) -> str:
    """Return bytes in the largest unit that leaves a number of at least 1."""
    value = float(size)
    unit = 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.2f} {_UNITS[unit]}"


def _mounts(host: Host, links: JsonObject) -> list[JsonValue]:
    found: list[JsonValue] = []
    uuids = {name: names[0] for name, names in links["uuids"].items()}
    for line in host.lines("/etc/mtab") or host.lines("/proc/mounts"):
        fields = fields_of(line)
        if len(fields) < 6 or fields[2] == "none":
            continue
        device, place, kind, options = fields[:4]
        if not device.startswith(("/", "\\")) and ":/" not in device:
            continue
        mount: JsonObject = {"mount": place, "device": device, "fstype": kind, "options": options}
        mount |= {"dump": whole(fields[4]) or 0, "passno": whole(fields[5]) or 0}
        mount |= sizes(str(host.path(place)), host.timeout) or {}
        mount["uuid"] = uuids.get(Path(device).resolve().name, "N/A")
        found.append(mount)
    return found


COLLECTOR = Collector(
    name="hardware",
    collect=collect,
    subsets=("devices", "mounts", "processor", "processor_cores", "processor_count"),
    needs=("platform",),
)
