"""attributes: owner, group, mode and flags of a path: what differs from what is asked, and how to put it right."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import FileAttributes, ModuleError
from pybible.agent.modules.flags import read_flags
from pybible.agent.modules.modes import ModeError, read_umask, resolve
from pybible.agent.modules.selinux_context import plan_context
from pybible.wire.values import JsonObject, JsonValue


@dataclass(slots=True)
class AttributeChange:
    """What has to change on one path: the states for a diff, and the steps, in order."""

    before: JsonObject = field(default_factory=dict)
    after: JsonObject = field(default_factory=dict)
    steps: list[Callable[[], None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.steps)

    def apply(self) -> None:
        """Do it."""
        for step in self.steps:
            step()


def plan_attributes(path: str, wanted: FileAttributes, *, flags: bool = True, at: str = "") -> AttributeChange:
    """Compare `path` itself (no link is followed) with what is wanted. ModuleError when a name or a mode is none.

    flags: with those of chattr. at: where the file will be, if elsewhere.
    """
    change = AttributeChange()
    context = (wanted.seuser, wanted.serole, wanted.setype, wanted.selevel)
    unasked = wanted.owner is None and wanted.group is None and wanted.mode in (None, "") and not wanted.attributes
    if unasked and not any(context):
        return change
    current = os.lstat(path)
    if any(context) and (labelled := plan_context(path, wanted, at=at)) is not None:
        _add(change, "secontext", list(labelled.before), list(labelled.after), labelled.step)
    # Owner before mode: a change of owner takes setuid away.
    if wanted.owner is not None:
        uid = user_id(wanted.owner, path)
        if uid != current.st_uid:
            _add(change, "owner", current.st_uid, uid, partial(_chown, path, uid, -1, "chown failed"))
    if wanted.group is not None:
        gid = group_id(wanted.group, path)
        if gid != current.st_gid:
            _add(change, "group", current.st_gid, gid, partial(_chown, path, -1, gid, "chgrp failed"))
    if wanted.mode not in (None, ""):
        _plan_mode(change, path, wanted.mode, current)
    if flags and wanted.attributes:
        _plan_flags(change, path, wanted.attributes)
    return change


def _add(change: AttributeChange, name: str, before: JsonValue, after: JsonValue, step: Callable[[], None]) -> None:
    change.before[name] = before
    change.after[name] = after
    change.steps.append(step)


def _plan_mode(change: AttributeChange, path: str, wanted: JsonValue, current: os.stat_result) -> None:
    if stat.S_ISLNK(current.st_mode):
        return
    bits = wanted_mode(wanted, current, path)
    before = stat.S_IMODE(current.st_mode)
    # Without a change of mode a change of owner may still lose bits: it is set again.
    lost = change.steps and before & 0o6000
    if bits != before:
        _add(change, "mode", shown_mode(before), shown_mode(bits), partial(_chmod, path, bits))
    elif lost:
        change.steps.append(partial(_chmod, path, bits))


def wanted_mode(wanted: JsonValue, current: os.stat_result, path: str) -> int:
    """Return the bits that `wanted` means for a path in its present state."""
    try:
        return resolve(wanted, current.st_mode, directory=stat.S_ISDIR(current.st_mode), umask=read_umask())
    except ModeError as error:
        raise ModuleError("mode must be in octal or symbolic form", path=path, details=str(error)) from error


def shown_mode(bits: int) -> str:
    """Return permission bits as results show them."""
    return f"0{bits:03o}"


def user_id(owner: str, path: str) -> int:
    """Return the number of a user given by name or number."""
    try:
        return int(owner)
    except ValueError:
        pass
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError as error:
        raise ModuleError(f"chown failed: failed to look up user {owner}", path=path) from error


def group_id(group: str, path: str) -> int:
    """Return the number of a group given by name or number."""
    try:
        return int(group)
    except ValueError:
        pass
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise ModuleError(f"chgrp failed: failed to look up group {group}", path=path) from error


def _chown(path: str, uid: int, gid: int, failure: str) -> None:
    try:
        os.lchown(path, uid, gid)
    except OSError as error:
        raise ModuleError(failure, cause=str(error), path=path) from error


def _chmod(path: str, bits: int) -> None:
    try:
        Path(path).chmod(bits)
    except OSError as error:
        raise ModuleError("chmod failed", cause=str(error), path=path, details=str(error)) from error


def _plan_flags(change: AttributeChange, path: str, wanted: str) -> None:
    operator = wanted[0] if wanted[0] in "+-=" else "="
    letters = wanted.lstrip("+-=")
    found = read_flags(path)
    current = found[1] if found else ""
    if operator == "=" and set(letters) == set(current):
        return
    # As the stock modules do: + and - are always carried out, and always reported.
    _add(change, "attributes", current, f"{operator}{letters}", partial(_chattr, path, f"{operator}{letters}"))


def _chattr(path: str, flags: str) -> None:
    program = shutil.which("chattr")
    if program is None:
        return
    done = subprocess.run([program, flags, path], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode or done.stderr:
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        raise ModuleError("chattr failed", path=path, details=f"Error while setting attributes: {text}")
