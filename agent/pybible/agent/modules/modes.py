"""modes: file permissions as people write them: octal numbers, or symbols as of chmod."""

from __future__ import annotations

import os
import re
import stat

from pybible.wire.values import JsonValue

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]+))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*|[ugo]+)(?=[-+=]|$)")

_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 0o4, "w": 0o2, "x": 0o1}
_EVERY = {"u": 0o4700, "g": 0o2070, "o": 0o1007}


class ModeError(ValueError):
    """It is not a mode. `details` in the words of the stock modules."""


def read_umask() -> int:
    """Return this process's umask: there is no way to read it but to set it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def resolve(mode: JsonValue, current: int, *, directory: bool, umask: int) -> int:
    """Return the permission bits that `mode` asks for on something that has `current`. ModeError when it is none."""
    if isinstance(mode, int):
        return stat.S_IMODE(mode)
    if not isinstance(mode, str):
        raise ModeError(f"'{type(mode).__name__}' object has no attribute 'split'")
    try:
        return stat.S_IMODE(int(mode, 8))
    except ValueError:
        return symbolic(mode, stat.S_IMODE(current), directory=directory, umask=umask)


def symbolic(mode: str, current: int, *, directory: bool, umask: int) -> int:
    """Apply `u+rwX,g=u,...` to `current`. Without a `who` the umask keeps its bits, as with chmod."""
    bits = current
    for clause in mode.split(","):
        found = _CLAUSE.fullmatch(clause)
        if clause and not found:
            raise ModeError(f"bad symbolic permission for mode: {mode}")
        if found:
            bits = _apply_clause(found[1], found[2], bits, directory=directory, umask=umask)
    return bits


def _apply_clause(who: str, actions: str, bits: int, *, directory: bool, umask: int) -> int:
    classes = "ugo" if not who or "a" in who else "".join(dict.fromkeys(who))
    for action in _ACTION.finditer(actions):
        operator, permissions = action[1], action[2]
        executable = directory or bool(bits & 0o111)
        wanted = 0
        for name in classes:
            wanted |= _wanted(name, permissions, bits, executable=executable)
        if not who:
            wanted &= ~umask
        if operator == "+":
            bits |= wanted
        elif operator == "-":
            bits &= ~wanted
        else:
            mask = 0
            for name in classes:
                mask |= _EVERY[name]
            bits = (bits & ~mask) | wanted
    return bits


def _wanted(name: str, permissions: str, bits: int, *, executable: bool) -> int:
    shift = _SHIFT[name]
    wanted = 0
    for letter in permissions:
        if letter in _BITS:
            wanted |= _BITS[letter] << shift
        elif letter == "X":
            wanted |= (0o1 << shift) if executable else 0
        elif letter == "s":
            wanted |= {"u": stat.S_ISUID, "g": stat.S_ISGID}.get(name, 0)
        elif letter == "t":
            wanted |= stat.S_ISVTX if name == "o" else 0
        else:
            wanted |= ((bits >> _SHIFT[letter]) & 0o7) << shift
    return wanted
