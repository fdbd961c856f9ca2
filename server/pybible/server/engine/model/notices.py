"""notices: warnings about what stands in the operator's files, with its place and the lines there."""

from __future__ import annotations

from pybible.wire.errors import Origin, source_excerpt


class Deprecation(str):
    """The warning that something written in a file will not be understood for ever."""

    __slots__ = ()


def located(message: str, origin: Origin | None, *, hint: str = "") -> str:
    """Return a warning's text with its place and the lines there, as Ansible shows them."""
    if origin is None:
        return f"{message} {hint}".rstrip()
    excerpt = source_excerpt(origin)
    place = f"{message}\nOrigin: {origin}\n" + (f"\n{excerpt}\n" if excerpt else "")
    return f"{place}\n{hint}\n" if hint else place


def deprecated(message: str, origin: Origin | None = None, *, hint: str = "", plugin: str = "") -> Deprecation:
    """Return the warning for what ansible-core 2.23 will not have; `plugin` names the one that has it now."""
    where = f"{plugin} in ansible-core" if plugin else "ansible-core"
    text = f"{message} This feature will be removed from {where} version 2.23."
    return Deprecation(located(text, origin, hint=hint))
