"""conditions: what may be an expression of when, until, changed_when, ..., and what it may yield."""

from __future__ import annotations

from pybible.server.engine.model.text import Trusted, origin_of
from pybible.server.engine.templating.lazy import type_name
from pybible.wire.errors import Origin, TemplateError

_ALLOW = "Broken conditionals can be temporarily allowed with the `ALLOW_BROKEN_CONDITIONALS` configuration option."


def check_expression(expression: object) -> Trusted:
    """Return the expression's text. Raises TemplateError for what can't be one."""
    origin = origin_of(expression)
    if not isinstance(expression, str):
        raise TemplateError("Conditional expressions must be strings.", origin=origin, hint=_ALLOW)
    if not isinstance(expression, Trusted):
        raise untrusted(origin)
    if not expression.strip():
        raise TemplateError("Empty conditional expressions are not allowed.", origin=origin, hint=_ALLOW)
    return expression


def untrusted(origin: Origin | None) -> TemplateError:
    """Return the error for data where an expression of the operator's is expected."""
    return TemplateError(
        "Encountered untrusted template or expression.",
        origin=origin,
        hint="Templates and expressions must be defined by trusted sources such as playbooks or roles, "
        "not untrusted sources such as module results.",
    )


def check_result(value: object, expression: Trusted, *, template: bool = False) -> bool:
    """Return the value of a conditional. Raises TemplateError when it is neither true nor false."""
    if value is True or value is False:
        return value
    made_here = template or _is_constant(value, expression)
    place = origin_of(value) or (expression.origin if made_here else None) or "<unknown>"
    raise TemplateError(
        f"Conditional result ({bool(value)}) was derived from value of type {type_name(value)!r} at {str(place)!r}. "
        "Conditionals must have a boolean result.",
        origin=expression.origin,
        hint=_ALLOW,
    )


def is_delimited(text: str) -> bool:
    """Whether a conditional is one template instead of a bare expression."""
    stripped = text.strip()
    return stripped.startswith(("{{", "{%")) and stripped.endswith(("}}", "%}"))


def _is_constant(value: object, expression: str) -> bool:
    """Whether a value is text or a number that stands in the expression itself."""
    if isinstance(value, int | float):
        return repr(value) == expression.strip()
    return isinstance(value, str) and (f"'{value}'" in expression or f'"{value}"' in expression)
