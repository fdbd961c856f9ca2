"""stat: what there is to know about a path."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Unchanged, arg
from pybible.agent.modules.describe import group_name, user_name
from pybible.agent.modules.digests import of_file
from pybible.agent.modules.flags import read_flags, words
from pybible.wire.values import JsonObject

_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "chardevice",
    stat.S_IFBLK: "blockdevice",
    stat.S_IFIFO: "fifo",
    stat.S_IFLNK: "symlink",
    stat.S_IFSOCK: "socket",
}

_PERMISSIONS = {
    "wusr": stat.S_IWUSR,
    "rusr": stat.S_IRUSR,
    "xusr": stat.S_IXUSR,
    "wgrp": stat.S_IWGRP,
    "rgrp": stat.S_IRGRP,
    "xgrp": stat.S_IXGRP,
    "woth": stat.S_IWOTH,
    "roth": stat.S_IROTH,
    "xoth": stat.S_IXOTH,
    "isuid": stat.S_ISUID,
    "isgid": stat.S_ISGID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of stat."""

    path: PathText = arg(aliases=("dest", "name"), doc="the path to look at")
    follow: bool = arg(default=False, doc="look at what a link leads to")
    get_checksum: bool = arg(default=True, doc="with a digest of the content")
    get_mime: bool = arg(
        default=True, aliases=("mime", "mime_type", "mime-type"), doc="with the kind of content, by the program file"
    )
    get_attributes: bool = arg(default=True, aliases=("attr", "attributes"), doc="with the flags of lsattr")
    checksum_algorithm: str = arg(
        default="sha1",
        aliases=("checksum", "checksum_algo"),
        choices=("md5", "sha1", "sha224", "sha256", "sha384", "sha512"),
        doc="which digest",
    )


def plan(args: Args, context: Context) -> Unchanged:
    """Look."""
    path = args.path
    try:
        found = os.stat(path) if args.follow else os.lstat(path)  # noqa: PTH116  a path is shown as it is written
    except FileNotFoundError:
        return Unchanged(values={"stat": {"exists": False}})
    except OSError as error:
        raise ModuleError(str(error.strerror), cause=str(error)) from error
    facts = _facts(path, found)
    if stat.S_ISLNK(found.st_mode):
        facts["lnk_source"] = os.path.realpath(path)
        facts["lnk_target"] = os.readlink(path)  # noqa: PTH115
    if args.get_checksum and stat.S_ISREG(found.st_mode) and facts["readable"]:
        facts["checksum"] = of_file(path, args.checksum_algorithm)[0]
    if args.get_mime:
        facts["mimetype"], facts["charset"] = _mime(path)
    if args.get_attributes:
        flags = read_flags(path)
        facts["version"], facts["attr_flags"] = flags or (None, "")
        facts["attributes"] = words(facts["attr_flags"])
    return Unchanged(values={"stat": facts})


def _facts(path: str, found: os.stat_result) -> JsonObject:
    mode = found.st_mode
    facts: JsonObject = {
        "exists": True,
        "path": path,
        "mode": f"{stat.S_IMODE(mode):04o}",
        "isdir": stat.S_ISDIR(mode),
        "ischr": stat.S_ISCHR(mode),
        "isblk": stat.S_ISBLK(mode),
        "isreg": stat.S_ISREG(mode),
        "isfifo": stat.S_ISFIFO(mode),
        "islnk": stat.S_ISLNK(mode),
        "issock": stat.S_ISSOCK(mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "inode": found.st_ino,
        "dev": found.st_dev,
        "nlink": found.st_nlink,
        "atime": found.st_atime,
        "mtime": found.st_mtime,
        "ctime": found.st_ctime,
        "blocks": found.st_blocks,
        "block_size": found.st_blksize,
        "device_type": found.st_rdev,
        "readable": os.access(path, os.R_OK),
        "writeable": os.access(path, os.W_OK),
        "executable": os.access(path, os.X_OK),
        "pw_name": user_name(found.st_uid),
        "gr_name": group_name(found.st_gid),
    }
    facts |= {name: bool(mode & bit) for name, bit in _PERMISSIONS.items()}
    return facts


def _mime(path: str) -> tuple[str, str]:
    """Return mimetype and charset. A process is started only for what can't be told from the outside."""
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode) and not os.path.exists(path):  # noqa: PTH110
        return "unknown", "unknown"
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is not None:
        return f"inode/{kind}", "binary"
    if found.st_size == 0:
        return "inode/x-empty", "binary"
    program = shutil.which("file")
    if program is None:
        return "unknown", "unknown"
    command = [program, "--brief", "--mime-type", "--mime-encoding", "--", path]
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    mimetype, _, charset = done.stdout.decode("utf-8", "replace").strip().partition("; charset=")
    if done.returncode or not charset:
        return "unknown", "unknown"
    return mimetype, charset


MODULE = Module(name="stat", args=Args, plan=plan)
