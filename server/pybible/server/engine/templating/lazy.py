"""lazy: containers that render what is in them when it is looked at.

A variable that holds a container is handed to templates as one of these: a shallow copy (so that a template which
changes it does not change the variable), whose elements are rendered one by one when they are reached, and all at once
when the container is walked. They are real dicts and lists, so that filters take them as such.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from types import NoneType
from typing import Protocol, SupportsIndex, cast, overload

from pybible.server.engine.model.text import origin_of

# Types that hold nothing and are never templates.
SCALARS: frozenset[type] = frozenset({str, int, float, bool, NoneType})
# Methods that change a container in place.
CHANGING = frozenset(
    {"append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"}
)


class Resolver(Protocol):
    """What renders the elements."""

    def resolve(self, raw: object) -> object:
        """Return `raw` rendered."""

    def forget(self) -> None:
        """Keep no container that was handed out: a template is about to change one."""


def type_name(value: object) -> str:
    """Return the name of a value's type as the operator knows it."""
    for kind in (dict, list, str):
        if isinstance(value, kind):
            return kind.__name__
    return type(value).__name__


class LazyDict(dict[object, object]):
    """A dict whose values are rendered when they are reached."""

    __slots__ = ("_owner", "_pending", "origin")

    def __init__(self, source: Mapping[object, object] | Mapping[str, object], owner: Resolver) -> None:
        super().__init__(cast("Mapping[object, object]", source))
        self._owner = owner
        self._pending = True
        self.origin = origin_of(source)

    def _value(self, key: object, raw: object) -> object:
        if type(raw) in SCALARS or not self._pending:
            return raw
        value = self._owner.resolve(raw)
        if value is not raw:
            super().__setitem__(key, value)
        return value

    def before_change(self) -> None:
        """Render all, and let nobody else see the change."""
        self.realize()
        self._owner.forget()

    def realize(self) -> LazyDict:
        """Render every value in place."""
        if self._pending:
            for key, raw in list(super().items()):
                if type(raw) not in SCALARS:
                    self._value(key, raw)
            self._pending = False
        return self

    def __getitem__(self, key: object) -> object:
        return self._value(key, super().__getitem__(key))

    def get(self, key: object, default: object = None) -> object:
        """Return the rendered value."""
        return self[key] if key in self else default  # noqa: SIM401 - this is get itself

    def pop(self, key: object, *default: object) -> object:
        """Take a value out, rendered."""
        return self.realize()._super_pop(key, *default)

    def _super_pop(self, key: object, *default: object) -> object:
        return super().pop(key, *default)

    def setdefault(self, key: object, default: object = None) -> object:
        """Return the rendered value, or put the default there."""
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[object, object]:
        """Take the last item out, rendered."""
        self.realize()
        return super().popitem()

    def __iter__(self) -> Iterator[object]:
        # Overridden so that C code copies through `keys` and `__getitem__`, not straight from the storage.
        return super().__iter__()

    def items(self) -> ItemsView[object, object]:  # type: ignore[override]
        """Return the rendered items."""
        self.realize()
        return super().items()

    def values(self) -> ValuesView[object]:  # type: ignore[override]
        """Return the rendered values."""
        self.realize()
        return super().values()

    def copy(self) -> dict[object, object]:
        """Return a plain, rendered copy."""
        return dict(self.items())

    def __or__(self, other: dict[object, object]) -> dict[object, object]:  # type: ignore[override]
        return {**self.copy(), **other}

    def __ror__(self, other: dict[object, object]) -> dict[object, object]:  # type: ignore[override]
        return {**other, **self.copy()}

    def __eq__(self, other: object) -> bool:
        self.realize()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        self.realize()
        return super().__repr__()

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return dict, (self.copy(),)


class LazyList(list[object]):
    """A list whose elements are rendered when they are reached."""

    __slots__ = ("_owner", "_pending", "origin")

    def __init__(self, source: Iterable[object], owner: Resolver) -> None:
        super().__init__(source)
        self._owner = owner
        self._pending = True
        self.origin = origin_of(source)

    def before_change(self) -> None:
        """Render all, and let nobody else see the change."""
        self.realize()
        self._owner.forget()

    def realize(self) -> LazyList:
        """Render every element in place."""
        if self._pending:
            for index, raw in enumerate(super().__iter__()):
                if type(raw) not in SCALARS:
                    super().__setitem__(index, self._owner.resolve(raw))
            self._pending = False
        return self

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> object: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[object]: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> object:
        if isinstance(index, slice):
            self.realize()
            return super().__getitem__(index)
        raw = super().__getitem__(index)
        if type(raw) in SCALARS or not self._pending:
            return raw
        value = self._owner.resolve(raw)
        super().__setitem__(index, value)
        return value

    def __iter__(self) -> Iterator[object]:
        self.realize()
        return super().__iter__()

    def __reversed__(self) -> Iterator[object]:
        self.realize()
        return super().__reversed__()

    def __contains__(self, item: object) -> bool:
        self.realize()
        return super().__contains__(item)

    def __add__(self, other: list[object]) -> list[object]:  # type: ignore[override]
        return [*self, *other] if isinstance(other, list) else NotImplemented

    def __radd__(self, other: list[object]) -> list[object]:
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def __mul__(self, count: SupportsIndex) -> list[object]:
        return list(self) * count

    __rmul__ = __mul__

    def __eq__(self, other: object) -> bool:
        self.realize()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: list[object]) -> bool:
        return list(self) < other

    def __gt__(self, other: list[object]) -> bool:
        return list(self) > other

    __hash__ = None

    def __repr__(self) -> str:
        self.realize()
        return super().__repr__()

    def copy(self) -> list[object]:
        """Return a plain, rendered copy."""
        return list(self)

    def index(self, value: object, *bounds: SupportsIndex) -> int:
        """Return where a rendered value stands."""
        self.realize()
        return super().index(value, *bounds)

    def count(self, value: object) -> int:
        """Return how often a rendered value occurs."""
        self.realize()
        return super().count(value)

    def pop(self, index: SupportsIndex = -1) -> object:
        """Take an element out, rendered."""
        self.realize()
        return super().pop(index)

    def remove(self, value: object) -> None:
        """Take a rendered value out."""
        self.realize()
        super().remove(value)

    def sort(self, **options: object) -> None:
        """Sort the rendered elements."""
        self.realize()
        super().sort(**options)  # type: ignore[call-overload]

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return list, (self.copy(),)
