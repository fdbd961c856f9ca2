"""filesystem: makes sure that a device has a file system of a kind, or none."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.filesystems import KINDS, Device, Kind
from pybible.agent.modules.programs import need
from pybible.wire.values import JsonObject

_Fstype = Literal[
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "ext4dev", "f2fs", "lvm", "ocfs2", "reiserfs", "xfs", "vfat", "swap",
    "ufs",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of filesystem."""

    dev: PathText = arg(aliases=("device",), doc="the device, or a file in the place of one")
    fstype: _Fstype | None = arg(default=None, aliases=("type",), doc="the kind")
    state: Literal["present", "absent"] = arg(default="present", doc="whether there is to be one")
    force: bool = arg(default=False, doc="make it even where there is one")
    resizefs: bool = arg(default=False, doc="let it grow to the size of the device")
    opts: str | None = arg(default=None, doc="options of mkfs")
    uuid: str | None = arg(default=None, doc="its UUID; always a change")


def plan(args: Args, context: Context) -> Plan:
    """Compare the device with what is asked."""
    device = Device(args.dev, context)
    if not Path(args.dev).exists():
        msg = f"Device {args.dev} not found."
        if args.state == "absent":
            return Unchanged(values={"msg": msg})
        raise ModuleError(msg)
    if args.state == "absent":
        return Change(apply=partial(_wipe, device)) if device.detected() else None
    fstype = str(args.fstype)
    kind = KINDS[fstype]
    if args.uuid is not None and not kind.change_uuid:
        raise ModuleError(f"module does not support UUID option for this filesystem ({fstype}) yet.")
    need(kind.make[0], context)
    found = device.detected()
    if found == (kind.detected or fstype) and not args.force:
        return _plan_existing(args, kind, device)
    if found and not args.force:
        msg = f"'{args.dev}' is already used as {found}, use force=true to overwrite"
        raise ModuleError(msg, rc=0, err="")
    return Change(apply=partial(_make, args, kind, device))


def _wipe(device: Device) -> None:
    device.run(("wipefs", "--all", device.path))


def _make(args: Args, kind: Kind, device: Device) -> None:
    words = [*kind.make, *shlex.split(args.opts or "")]
    if args.uuid is not None and not set(shlex.split(args.opts or "")) & {"-U", "--uuid"}:
        words += kind.uuid
    device.run((*words, device.path), args.uuid or "")


def _plan_existing(args: Args, kind: Kind, device: Device) -> Plan:
    if args.uuid is not None:
        msg = f"Changing {kind.title} filesystem UUID on device {device.path}"
        return Change(msg=msg, apply=partial(_run, device, kind.change_uuid, args.uuid))
    if not args.resizefs:
        return None
    if not kind.grow:
        raise ModuleError(f"module does not support resizing {args.fstype} filesystem yet.")
    if kind.mounted and not device.mount_point():
        raise ModuleError(f"{device.path} needs to be mounted for {kind.title} operations")
    size = device.size_of(kind)
    if size is None:
        raise ModuleError(f"unable to process {kind.size[0]} output for {device.path}")
    if size >= device.size():
        return Unchanged(values={"msg": f"{kind.title} filesystem is using the whole device {device.path}"})
    msg = f"resizing filesystem {kind.title} on device {device.path}"
    return Change(msg=msg, apply=partial(_run, device, kind.grow, ""))


def _run(device: Device, command: tuple[str, ...], uuid: str) -> JsonObject:
    return {"msg": device.run(command, uuid).stdout}


MODULE = Module(
    name="filesystem",
    args=Args,
    plan=plan,
    mutually_exclusive=(("resizefs", "uuid"),),
    required_if=(("state", "present", ("fstype",)),),
)
