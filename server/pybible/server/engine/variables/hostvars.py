"""hostvars: every host's variables, rendered in that host's own context when they are looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.templating.undefined import UndefinedValue


class HostVars(Mapping[str, object]):
    """The variable `hostvars`: host name -> its variables. Hosts that no source names but localhost are not listed."""

    __slots__ = ("_inventory", "_templar_for")

    def __init__(self, inventory: Inventory, templar_for: Callable[[str], Templar]) -> None:
        self._inventory = inventory
        self._templar_for = templar_for

    def __getitem__(self, name: str) -> object:
        if not isinstance(name, str) or self._inventory.host(name) is None:
            return UndefinedValue(hint=f"hostvars[{name!r}]" if isinstance(name, str) else None)
        return HostVarsVars(self._templar_for(name))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._inventory.host(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._inventory.hosts))

    def __len__(self) -> int:
        return len(self._inventory.hosts)


class HostVarsVars(Mapping[str, object]):
    """One host's variables (the name is the one that ansible-core's messages have)."""

    __slots__ = ("_templar",)

    def __init__(self, templar: Templar) -> None:
        self._templar = templar

    def __getitem__(self, name: str) -> object:
        if name not in self:
            raise KeyError(name)
        return self._templar.name(name)

    def __contains__(self, name: object) -> bool:
        # The host's own templates may use `hostvars`; here it would make the whole contain itself.
        return name != "hostvars" and name in self._templar.variables

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._templar.variables if name != "hostvars")

    def __len__(self) -> int:
        return sum(1 for _ in self)
