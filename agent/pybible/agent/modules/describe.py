"""describe: the owner, mode, kind and size of a path, as every result that names a path carries them."""

from __future__ import annotations

import grp
import os
import pwd
import stat

from pybible.agent.modules.selinux_context import add_context
from pybible.wire.values import JsonObject


def add_path_facts(result: JsonObject) -> None:
    """Add uid, gid, owner, group, mode, state and size of the result's `path` (or `dest`), if it leads to anything."""
    path = result.get("path", result.get("dest"))
    # A link to nothing has none of them, as with the stock modules.
    if not isinstance(path, str) or not os.path.exists(path):  # noqa: PTH110
        return
    found = os.lstat(path)
    result["uid"] = found.st_uid
    result["gid"] = found.st_gid
    result["owner"] = user_name(found.st_uid)
    result["group"] = group_name(found.st_gid)
    result["mode"] = f"0{stat.S_IMODE(found.st_mode):03o}"
    result["state"] = kind_of(found)
    result["size"] = found.st_size
    add_context(result, path)


def kind_of(found: os.stat_result) -> str:
    """Return link, directory, hard (a file with more names than one) or file."""
    if stat.S_ISLNK(found.st_mode):
        return "link"
    if stat.S_ISDIR(found.st_mode):
        return "directory"
    return "hard" if found.st_nlink > 1 else "file"


def user_name(uid: int) -> str:
    """Return the name of a user, its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return the name of a group, its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
