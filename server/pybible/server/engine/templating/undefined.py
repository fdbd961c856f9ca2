"""undefined: what stands for a value that is not there, and for an argument that is to be left out."""

from __future__ import annotations

from typing import Never

import jinja2
from jinja2.utils import missing

from pybible.server.engine.templating.errors import UndefinedVariable
from pybible.server.engine.templating.lazy import type_name
from pybible.wire.errors import Origin, TemplateError


class Omit:
    """The value of `omit`: an argument, element or key with it is left out."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<omit>"


OMIT = Omit()


class UndefinedValue(jinja2.StrictUndefined):
    """Something that is not there. Any use but default() and `is defined` fails; what is in it is not there either.

    `error` holds the failure of the nested template that left the value undefined.
    """

    __slots__ = ("error", "origin")

    def __init__(
        self,
        hint: str | None = None,
        obj: object = missing,
        name: str | None = None,
        exc: type[jinja2.TemplateRuntimeError] = jinja2.UndefinedError,
    ) -> None:
        super().__init__(hint, obj, name, exc)
        self.error: TemplateError | None = None
        self.origin: Origin | None = None

    @classmethod
    def caused_by(cls, error: TemplateError) -> UndefinedValue:
        """Return a value that fails with `error` when it is used."""
        value = cls(hint=error.message)
        value.error = error
        return value

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        if self._undefined_obj is missing:
            return f"{self._undefined_name!r} is undefined"
        kind = type_name(self._undefined_obj)
        return f"object of type {kind!r} has no attribute {_bare(self._undefined_name)!r}"

    def failure(self) -> TemplateError:
        """Return the error that a use of this value raises."""
        return self.error or UndefinedVariable(self._undefined_message, origin=self.origin)

    def _fail_with_undefined_error(self, *_args: object, **_kwargs: object) -> Never:
        raise self.failure()

    def __getattr__(self, name: str) -> UndefinedValue:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, key: object) -> UndefinedValue:  # type: ignore[override]
        return self

    __iter__ = __str__ = __len__ = _fail_with_undefined_error
    __eq__ = __ne__ = __bool__ = __hash__ = _fail_with_undefined_error
    __contains__ = __call__ = __int__ = __float__ = _fail_with_undefined_error
    __add__ = __radd__ = __sub__ = __rsub__ = _fail_with_undefined_error
    __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _fail_with_undefined_error
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = _fail_with_undefined_error
    __pow__ = __rpow__ = __neg__ = __pos__ = _fail_with_undefined_error
    __lt__ = __le__ = __gt__ = __ge__ = _fail_with_undefined_error


def _bare(name: object) -> object:
    return str(name) if isinstance(name, str) else name
