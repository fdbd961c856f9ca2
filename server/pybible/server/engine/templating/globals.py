"""globals: the names that every template can use: lookup, query, q, now, undef, omit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import jinja2
from jinja2.runtime import Context

from pybible.server.engine.templating.lookups.call import run_lookup_global
from pybible.server.engine.templating.undefined import OMIT, UndefinedValue

if TYPE_CHECKING:
    from pybible.server.engine.templating.templar import Templar


def _templar(context: Context) -> Templar:
    return cast("Templar", context.owner)  # type: ignore[attr-defined]


@jinja2.pass_context
def lookup(context: Context, name: str, *terms: object, **options: object) -> object:
    """Run a lookup; several texts are joined by commas, a single value comes alone."""
    return run_lookup_global(name, terms, options, _templar(context))


@jinja2.pass_context
def query(context: Context, name: str, *terms: object, **options: object) -> object:
    """Run a lookup and return its list."""
    return run_lookup_global(name, terms, {**options, "wantlist": True}, _templar(context))


@jinja2.pass_context
def now(context: Context, utc: bool = False, fmt: str | None = None) -> object:
    """Return the time as a datetime, or as text in strftime's format."""
    _templar(context).note_impure()
    moment = datetime.now(UTC).replace(tzinfo=None) if utc else datetime.now()
    return moment.strftime(fmt) if fmt else moment


def undef(hint: str | None = None) -> UndefinedValue:
    """Return an undefined value that fails with `hint`."""
    return UndefinedValue(hint=hint or "Mandatory variable has not been overridden")


GLOBALS: Mapping[str, object] = {
    "lookup": lookup,
    "query": query,
    "q": query,
    "now": now,
    "undef": undef,
    "omit": OMIT,
}
