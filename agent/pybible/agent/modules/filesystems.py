"""filesystems: what the programs of each kind of file system are called, and how they say a size."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules import mounts
from pybible.agent.modules.api import Context
from pybible.agent.modules.programs import Answer, call, must, need

# Device and mount point (empty when it is not mounted) are put in by `words`.
_DEVICE, _MOUNTED = "DEVICE", "MOUNTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of file system: its name in messages, and the commands; a command of no words: it has none.

    detected: what blkid calls it. uuid: options of `make`; size: what prints its size, read by `read_size`.
    """

    title: str
    make: tuple[str, ...]
    detected: str = ""
    uuid: tuple[str, ...] = ()
    change_uuid: tuple[str, ...] = ()
    grow: tuple[str, ...] = ()
    size: tuple[str, ...] = ()
    read_size: Callable[[str], int | None] | None = None
    mounted: bool = False


def _product(*patterns: str, unit: int = 1) -> Callable[[str], int | None]:
    """Return what multiplies the numbers that patterns find by `unit`, None when one finds nothing."""

    def read(text: str) -> int | None:
        size = unit
        for pattern in patterns:
            match = re.search(pattern, text, re.MULTILINE)
            if match is None:
                return None
            size *= int(match[1])
        return size

    return read


def _ext(title: str) -> Kind:
    return Kind(
        title=title,
        make=(f"mkfs.{title.lower()}", "-F"),
        uuid=("-U", "{uuid}"),
        change_uuid=("tune2fs", "-U", "{uuid}", _DEVICE),
        grow=("resize2fs", _DEVICE),
        size=("dumpe2fs", "-h", _DEVICE),
        read_size=_product(r"^Block count:\s*(\d+)", r"^Block size:\s*(\d+)"),
    )


KINDS = {
    "ext2": _ext("Ext2"),
    "ext3": _ext("Ext3"),
    "ext4": _ext("Ext4"),
    "ext4dev": _ext("Ext4dev"),
    "xfs": Kind(
        title="XFS",
        make=("mkfs.xfs", "-f"),
        uuid=("-m", "uuid={uuid}"),
        change_uuid=("xfs_admin", "-U", "{uuid}", _DEVICE),
        grow=("xfs_growfs", _MOUNTED),
        size=("xfs_info", _MOUNTED),
        read_size=_product(r"^data\s.*?\bbsize=(\d+)", r"^data\s.*?\bblocks=(\d+)"),
        mounted=True,
    ),
    "btrfs": Kind(
        title="Btrfs",
        make=("mkfs.btrfs", "-f"),
        grow=("btrfs", "filesystem", "resize", "max", _MOUNTED),
        size=("btrfs", "filesystem", "usage", "-b", _MOUNTED),
        read_size=_product(r"^\s*Device size:\s*(\d+)"),
        mounted=True,
    ),
    "f2fs": Kind(
        title="F2fs",
        make=("mkfs.f2fs", "-f"),
        grow=("resize.f2fs", _DEVICE),
        size=("dump.f2fs", _DEVICE),
        read_size=_product(r"total FS sectors = (\d+)", unit=512),
    ),
    "vfat": Kind(
        title="VFAT",
        make=("mkfs.vfat",),
        grow=("fatresize", "-s", "max", _DEVICE),
        size=("fatresize", "--info", _DEVICE),
        read_size=_product(r"^(?:Size|Cur size):\s*(\d+)"),
    ),
    "lvm": Kind(
        title="LVM",
        make=("pvcreate", "-f"),
        detected="LVM2_member",
        uuid=("--norestorefile", "--uuid", "{uuid}"),
        change_uuid=("pvchange", "-u", _DEVICE),
        grow=("pvresize", _DEVICE),
        size=("pvs", "--noheadings", "-o", "pv_size", "--units", "b", "--nosuffix", _DEVICE),
        read_size=_product(r"^\s*(\d+)\s*$"),
    ),
    "bcachefs": Kind(
        title="Bcachefs",
        make=("mkfs.bcachefs", "--force"),
        uuid=("-U", "{uuid}"),
        change_uuid=("bcachefs", "set-fs-option", "--uuid={uuid}", _DEVICE),
        grow=("bcachefs", "device", "resize", _DEVICE),
        size=("bcachefs", "show-super", _DEVICE),
        read_size=_product(r"^\s*Size:\s*(\d+)"),
    ),
    "ocfs2": Kind(title="Ocfs2", make=("mkfs.ocfs2", "-Fx")),
    "reiserfs": Kind(title="ReiserFS", make=("mkfs.reiserfs", "-q")),
    "swap": Kind(title="Swap", make=("mkswap", "-f")),
    "ufs": Kind(title="UFS", make=("newfs",)),
}


class Device:
    """A device, or a file in the place of one, and the calls about it."""

    def __init__(self, path: str, context: Context) -> None:
        self.path, self._context = path, context

    def detected(self) -> str:
        """Return what blkid calls the file system on it, empty for none. It may be one that we don't make."""
        words = [need("blkid", self._context), "-c", "/dev/null", "-o", "value", "-s", "TYPE", self.path]
        return call(words, self._context).stdout.strip()

    def size(self) -> int:
        """Return its bytes."""
        found = Path(self.path).stat()
        if not stat.S_ISBLK(found.st_mode):
            return found.st_size
        done = self.run(("blockdev", "--getsize64", self.path))
        return int(done.stdout)

    def mount_point(self) -> str:
        """Return where it is mounted, empty when it is not."""
        text = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        real = os.path.realpath(self.path)
        return next((item.mount for item in mounts.parse(text) if os.path.realpath(item.device) == real), "")

    def size_of(self, kind: Kind) -> int | None:
        """Return the bytes of the file system on it, None when its programs don't say."""
        if kind.read_size is None:
            return None
        done = call(self.words(kind.size), self._context, also={"LC_ALL": "C"})
        return kind.read_size(done.stdout) if done.rc == 0 else None

    def words(self, command: tuple[str, ...], uuid: str = "") -> list[str]:
        """Return a command of a kind. ModuleError when the program is not there."""
        places = {_DEVICE: self.path, _MOUNTED: self.mount_point() if _MOUNTED in command else ""}
        found = [places.get(word, word).replace("{uuid}", uuid) for word in command]
        return [need(found[0], self._context), *found[1:]]

    def run(self, command: tuple[str, ...], uuid: str = "") -> Answer:
        """Run a command of a kind. ModuleError when it fails."""
        return must(self.words(command, uuid), self._context, also={"LC_ALL": "C"})
