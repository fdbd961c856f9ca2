"""describe: the owner, mode, kind and size of a path, as every result that names a path carries them."""

from __future__ import annotations

import grp
import os
import pwd
import stat

from pybible.wire.values import JsonObject


def add_path_facts(result: JsonObject) -> None:
    """Add uid, gid, owner, group, mode, state and size of the result's `path` (or `dest`), or state=absent."""
    path = result.get("path", result.get("dest"))
    if not isinstance(path, str):
        return
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        result["state"] = "absent"
        return
    result["uid"] = found.st_uid
    result["gid"] = found.st_gid
    result["owner"] = user_name(found.st_uid)
    result["group"] = group_name(found.st_gid)
    result["mode"] = f"0{stat.S_IMODE(found.st_mode):03o}"
    result["state"] = _state(found)
    result["size"] = found.st_size


def _state(found: os.stat_result) -> str:
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
