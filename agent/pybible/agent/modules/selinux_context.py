"""selinux_context: the SELinux context of a path: what it is, what the policy says, and how to set it.

A host without SELinux has none: there everything here is nothing, as in the stock modules.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from pybible.agent.modules.api import ModuleError
from pybible.wire.values import JsonObject

_KERNEL = Path("/sys/fs/selinux")
_ATTRIBUTE = "security.selinux"
# In the place of a part: what the policy has for the path.
_OF_POLICY = "_default"
_PARTS = ("seuser", "serole", "setype", "selevel")


class Wanted(Protocol):
    """The arguments that ask for a context."""

    @property
    def seuser(self) -> str | None:
        """The user."""

    @property
    def serole(self) -> str | None:
        """The role."""

    @property
    def setype(self) -> str | None:
        """The type."""

    @property
    def selevel(self) -> str | None:
        """The level."""


@dataclass(frozen=True, slots=True)
class ContextChange:
    """A context that differs from what is wanted: both, in parts, and the step."""

    before: list[str]
    after: list[str]
    step: Callable[[], None]


def is_enabled() -> bool:
    """Tell whether this host's kernel has SELinux, with a policy."""
    return (_KERNEL / "enforce").exists()


def is_enforcing() -> bool:
    """Tell whether the kernel refuses what the policy does not allow."""
    return (_KERNEL / "enforce").read_text(encoding="ascii").strip() == "1"


def enforce(wanted: bool) -> None:
    """Have the kernel refuse what the policy does not allow, or only tell of it, until the next boot."""
    try:
        (_KERNEL / "enforce").write_text("1" if wanted else "0", encoding="ascii")
    except OSError as error:
        raise ModuleError(f"could not set the mode of SELinux: {error}") from error


def has_levels() -> bool:
    """Tell whether the policy has levels."""
    try:
        return (_KERNEL / "mls").read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False


def read_context(path: str) -> list[str] | None:
    """Return the parts of a path's own context, None when it has none."""
    try:
        text = os.getxattr(path, _ATTRIBUTE, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.ENOENT):
            return None
        raise ModuleError(f"could not read selinux context: {error}", path=path) from error
    return text.rstrip(b"\0").decode("utf-8", "replace").split(":", 3)


def add_context(result: JsonObject, path: str) -> None:
    """Add `secontext` to a result where there is SELinux."""
    if is_enabled():
        found = read_context(path)
        result["secontext"] = None if found is None else ":".join(found)


def plan_context(path: str, wanted: Wanted, *, at: str = "") -> ContextChange | None:
    """Compare the context of `path` with what is wanted. `at`: where the file will be, if elsewhere."""
    given: list[str | None] = [getattr(wanted, name) for name in _PARTS]
    if not any(given) or not is_enabled():
        return None
    if not has_levels():
        given.pop()
    policy = _of_policy(at or path) if _OF_POLICY in given else None
    current = read_context(path)
    before = current or policy or _of_policy(at or path)
    after = list(before) + [""] * (len(given) - len(before))
    for number, part in enumerate(given):
        if part == _OF_POLICY and policy is not None:
            after[number] = policy[number] if number < len(policy) else ""
        elif part:
            after[number] = part
    if after == current:
        return None
    return ContextChange(before, after, partial(_set, path, after))


def _set(path: str, parts: list[str]) -> None:
    context = ":".join(part for part in parts if part)
    try:
        os.setxattr(path, _ATTRIBUTE, f"{context}\0".encode(), follow_symlinks=False)
    except OSError as error:
        raise ModuleError(f"invalid selinux context: {error}", path=path, new_context=parts) from error


def _of_policy(path: str) -> list[str]:
    """Return the context that the policy has for a path."""
    # Hosts without SELinux never need it, and loading it takes a while.
    import ctypes
    import ctypes.util

    name = ctypes.util.find_library("selinux")
    if name is None:
        raise ModuleError(f"the policy's context of {path} needs libselinux, which this host does not have", path=path)
    library = ctypes.CDLL(name, use_errno=True)
    found = ctypes.c_char_p()
    mode = os.lstat(path).st_mode if os.path.lexists(path) else 0
    library.matchpathcon.argtypes = (ctypes.c_char_p, ctypes.c_uint, ctypes.POINTER(ctypes.c_char_p))
    if library.matchpathcon(os.fsencode(path), mode, ctypes.byref(found)) or found.value is None:
        reason = os.strerror(ctypes.get_errno())
        raise ModuleError(f"the policy has no context for {path}: {reason}", path=path)
    context = found.value.decode("utf-8", "replace")
    library.freecon(found)
    return context.split(":", 3)
