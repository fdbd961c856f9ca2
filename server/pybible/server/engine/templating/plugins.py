"""plugins: how filters and tests are called: undefined values pass through, failures name the plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from types import GeneratorType
from typing import TypeAlias

import jinja2
from jinja2.exceptions import SecurityError

from pybible.server.engine.templating.errors import PluginError, Refused, told
from pybible.server.engine.templating.limits import OUTPUT_LIMIT, check_range, limited, too_much_text
from pybible.wire.errors import PybibleError, TemplateError

Plugin: TypeAlias = Callable[..., object]

# These decide themselves what an undefined value means to them.
TAKES_UNDEFINED = frozenset({"default", "d", "mandatory", "ternary", "type_debug", "defined", "undefined", "combine"})
_PAD = frozenset({"center", "indent", "comment", "wordwrap"})
_PREFIXES = ("ansible.builtin.", "ansible.legacy.")


def guarded_filters(filters: Mapping[str, Plugin], *, own: bool = False) -> dict[str, Plugin]:
    """Return filters as templates call them, also under their full names unless they are the operator's `own`."""
    return _guarded(filters, "filter", own)


def guarded_tests(tests: Mapping[str, Plugin], *, own: bool = False) -> dict[str, Plugin]:
    """Return tests as templates call them, also under their full names unless they are the operator's `own`."""
    return _guarded(tests, "test", own)


def impure(plugin: Plugin) -> Plugin:
    """Mark a filter or test whose value depends on more than its arguments: it is never computed early, nor kept."""

    @wraps(plugin)
    @jinja2.pass_context
    def run(context: jinja2.runtime.Context, *args: object, **kwargs: object) -> object:
        context.owner.note_impure()  # type: ignore[attr-defined]
        return plugin(*args, **kwargs)

    return jinja2.pass_context(run)


def _guarded(plugins: Mapping[str, Plugin], kind: str, own: bool) -> dict[str, Plugin]:
    guarded: dict[str, Plugin] = {}
    for name, plugin in plugins.items():
        wrapped = _guard(name, plugin, kind, own)
        guarded[name] = wrapped
        if "." not in name and not own:
            for prefix in _PREFIXES:
                guarded[prefix + name] = wrapped
    return guarded


def _guard(name: str, plugin: Plugin, kind: str, own: bool) -> Plugin:
    full = name if own or "." in name else f"ansible.builtin.{name}"
    if name in _PAD and not own:
        plugin = _bounded(plugin)
    takes_undefined = name in TAKES_UNDEFINED

    @wraps(plugin)
    def run(*args: object, **kwargs: object) -> object:
        for value in args:
            if isinstance(value, jinja2.Undefined):
                if not takes_undefined:
                    return _undefined(value, kind)
            elif type(value) is range and kind == "filter":
                check_range(value)
        if not takes_undefined:
            for value in kwargs.values():
                if isinstance(value, jinja2.Undefined):
                    return _undefined(value, kind)
        try:
            result = plugin(*args, **kwargs)
            if type(result) is str and len(result) > OUTPUT_LIMIT:
                raise too_much_text()
            return list(limited(result)) if isinstance(result, GeneratorType) else result
        except (PybibleError, jinja2.UndefinedError, SecurityError):
            raise
        except (RecursionError, MemoryError):
            raise
        except Refused as error:
            raise PluginError(f"The {kind} plugin {full!r} failed") from TemplateError(told(error))
        except Exception as error:
            raise PluginError(f"The {kind} plugin {full!r} failed: {told(error)}") from error

    return run


def _bounded(plugin: Plugin) -> Plugin:
    """Have a filter that pads texts refuse what would be too much, before it is made."""

    @wraps(plugin)
    def run(*args: object, **kwargs: object) -> object:
        for value in (*args, *kwargs.values()):
            if isinstance(value, int) and value > OUTPUT_LIMIT:
                raise too_much_text()
        return plugin(*args, **kwargs)

    return run


def _undefined(value: jinja2.Undefined, kind: str) -> object:
    """A filter of something undefined is undefined; a test of it fails."""
    if kind == "test":
        bool(value)
    return value
