"""call: how a lookup is called, and what becomes of what it returns or fails with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import jinja2

from pybible.server.engine.templating.errors import LookupFailed, PluginError, told
from pybible.wire.errors import PybibleError

if TYPE_CHECKING:
    from pybible.server.engine.templating.templar import Templar


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupCall:
    """What a lookup gets: its terms and options, rendered; the Templar for variables and for where files are."""

    terms: list[object]
    options: Mapping[str, object] = field(default_factory=dict)
    templar: Templar
    # Called by with_X rather than by a template.
    loop: bool = False

    @property
    def directory(self) -> Path:
        """The playbook's folder, in which commands run."""
        return self.templar.engine.playbook_directory

    def option(self, name: str, default: object = None) -> object:
        """Return an option: given in the call, else as a variable's value in the host's context, else `default`."""
        return self.options.get(name, default)

    def text(self, name: str, default: str = "") -> str:
        """Return an option as text."""
        value = self.options.get(name)
        return default if value is None else str(value)


# An undefined value among their terms and options means something to them.
_TAKE_UNDEFINED = frozenset({"first_found", "env"})

Lookup: TypeAlias = Callable[[LookupCall], Sequence[object]]


def run_lookup(
    name: str, terms: list[object], options: Mapping[str, object], templar: Templar, *, loop: bool = False
) -> list[object]:
    """Return what a lookup finds, as data. Raises PluginError."""
    short = name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
    function = templar.engine.lookups.get(short) or templar.engine.external.lookup(short)
    if function is None:
        raise PluginError(f"The lookup plugin {name!r} was not found.")
    templar.note_impure()
    given = dict(options)
    errors = given.pop("errors", "strict")
    try:
        found = function(LookupCall(terms=terms, options=given, templar=templar, loop=loop))
        return [templar.finalize(value) for value in found]
    except LookupFailed as error:
        message = f"The lookup plugin {name!r} failed: {error}"
    except PybibleError:
        raise
    except Exception as error:
        message = f"The lookup plugin {name!r} failed: {told(error)}"
    if errors == "warn":
        detail = message.removeprefix(f"The lookup plugin {name!r} failed: ")
        templar.engine.warn(f"An error occurred while running the lookup plugin {name!r}: {detail}")
    elif errors != "ignore":
        raise PluginError(message)
    raise _Ignored


class _Ignored(Exception):
    """The operator wants this lookup's failure to be no failure."""


def run_lookup_global(name: str, terms: Sequence[object], options: Mapping[str, object], templar: Templar) -> object:
    """Run a lookup for lookup() and query()."""
    given = dict(options)
    wantlist = bool(given.pop("wantlist", False))
    for value in (*terms, *given.values()):
        if isinstance(value, jinja2.Undefined) and name.rpartition(".")[2] not in _TAKE_UNDEFINED:
            return value
    try:
        found = run_lookup(name, [templar.finalize(term) for term in terms], given, templar)
    except _Ignored:
        return [] if wantlist else None
    if wantlist:
        return found
    if len(found) == 1:
        return found[0]
    if found and all(isinstance(value, str) for value in found):
        return ",".join(str(value) for value in found)
    return found
