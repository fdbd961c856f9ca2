"""hardware: memory, processors, and what the firmware says of the machine."""

from __future__ import annotations

import os

from pybible.agent.facts.source import Host, whole
from pybible.wire.values import JsonObject

_DMI = {
    "bios_date": "bios_date",
    "bios_vendor": "bios_vendor",
    "bios_version": "bios_version",
    "board_asset_tag": "board_asset_tag",
    "board_name": "board_name",
    "board_serial": "board_serial",
    "board_vendor": "board_vendor",
    "board_version": "board_version",
    "chassis_asset_tag": "chassis_asset_tag",
    "chassis_serial": "chassis_serial",
    "chassis_vendor": "chassis_vendor",
    "chassis_version": "chassis_version",
    "form_factor": "chassis_type",
    "product_name": "product_name",
    "product_serial": "product_serial",
    "product_uuid": "product_uuid",
    "product_version": "product_version",
    "system_vendor": "sys_vendor",
}

# The chassis types of SMBIOS, in its order.
_CHASSIS = (
    "Unknown", "Other", "Unknown", "Desktop", "Low Profile Desktop", "Pizza Box", "Mini Tower", "Tower", "Portable",
    "Laptop", "Notebook", "Hand Held", "Docking Station", "All In One", "Sub Notebook", "Space-saving", "Lunch Box",
    "Main Server Chassis", "Expansion Chassis", "Sub Chassis", "Bus Expansion Chassis", "Peripheral Chassis",
    "RAID Chassis", "Rack Mount Chassis", "Sealed-case PC", "Multi-system", "CompactPCI", "AdvancedTCA", "Blade",
    "Blade Enclosure", "Tablet", "Convertible", "Detachable", "IoT Gateway", "Embedded PC", "Mini PC", "Stick PC",
)  # fmt: skip


def memory(host: Host) -> JsonObject:
    """Read /proc/meminfo; all in MiB."""
    sizes: dict[str, int] = {}
    for line in host.lines("/proc/meminfo"):
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and (size := whole(words[0])) is not None:
            sizes[name] = size

    def mebibytes(kibibytes: int) -> int:
        return kibibytes // 1024

    total, free = sizes.get("MemTotal", 0), sizes.get("MemFree", 0)
    reusable = free + sizes.get("Buffers", 0) + sizes.get("Cached", 0)
    swap_total, swap_free = sizes.get("SwapTotal", 0), sizes.get("SwapFree", 0)
    return {
        "memtotal_mb": mebibytes(total),
        "memfree_mb": mebibytes(free),
        "swaptotal_mb": mebibytes(swap_total),
        "swapfree_mb": mebibytes(swap_free),
        "memory_mb": {
            "real": {"total": mebibytes(total), "used": mebibytes(total - free), "free": mebibytes(free)},
            "nocache": {"free": mebibytes(reusable), "used": mebibytes(total - reusable)},
            "swap": {
                "total": mebibytes(swap_total),
                "free": mebibytes(swap_free),
                "used": mebibytes(swap_total - swap_free),
                "cached": mebibytes(sizes.get("SwapCached", 0)),
            },
        },
    }


def processors(host: Host) -> JsonObject:
    """Read /proc/cpuinfo, in each architecture's words: the list holds number, vendor and model of each in turn."""
    names: list[str] = []
    blocks = [_block(block) for block in host.text("/proc/cpuinfo").split("\n\n") if block.strip()]
    cpus = [block for block in blocks if "processor" in block]
    for block in blocks:
        names += [
            block[key] for key in ("processor", "vendor_id", "model name", "Processor", "cpu", "vendor") if key in block
        ]
    sockets = {block["physical id"] for block in cpus if "physical id" in block}
    first = cpus[0] if cpus else {}
    head = blocks[0] if blocks else {}
    # sparc has the number of all in place of a block for each, s390x counts its processors as cores.
    count = len(sockets) or len(cpus) or max(1, whole(head.get("ncpus active", "")) or 1)
    cores = max(0, whole(first.get("cpu cores") or head.get("# processors", "")) or 0)
    cores = cores or (len(cpus) // count if sockets else 1)
    siblings = max(0, whole(first.get("siblings", "")) or 0)
    threads = max(1, siblings // cores) if siblings else 1
    facts: JsonObject = {
        "processor": names,
        "processor_count": count,
        "processor_cores": cores,
        "processor_threads_per_core": threads,
        "processor_vcpus": count * cores * threads,
        "processor_nproc": len(os.sched_getaffinity(0)),
    }
    if "flags" in first:
        facts["flags"] = first["flags"].split()
    return facts


def _block(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def firmware(host: Host) -> JsonObject:
    """Read what the firmware tables say; NA for what they don't."""
    facts: JsonObject = {}
    for name, file in _DMI.items():
        text = host.text(f"/sys/devices/virtual/dmi/id/{file}").strip()
        facts[name] = text or "NA"
    kind = facts["form_factor"]
    number = whole(kind)
    if number is not None and 0 <= number < len(_CHASSIS):
        facts["form_factor"] = _CHASSIS[number]
    return facts


def uptime(host: Host) -> JsonObject:
    """Read how long the kernel has been up, in seconds."""
    seconds = whole(host.text("/proc/uptime").partition(".")[0])
    return {} if seconds is None else {"uptime_seconds": seconds}
