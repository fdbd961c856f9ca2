"""generator: hosts and groups for every combination of some layers: `build_web_dev`, ..."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Final

from pybible.server.engine.inventory.addresses import MAX_NAMES
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory_plugins import options
from pybible.server.engine.inventory_plugins.options import value_of
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.templar import Templar
from pybible.wire.errors import Origin, ParseError

# Parents of parents of ...
_DEPTH: Final = 50


def read_generator(inventory: Inventory, path: Path, config: Mapping[str, object], *, engine: TemplateEngine) -> None:
    """Do what the file asks for. Raises SourceError."""
    hosts, layers = config.get("hosts"), config.get("layers")
    if not isinstance(hosts, dict) or "name" not in hosts or not isinstance(layers, dict):
        raise ParseError("a generator needs `hosts` with a `name`, and `layers`", origin=Origin(str(path)))
    values = [options.listed(layers, name) for name in layers]
    count = 1
    for each in values:
        count *= len(each)
    if count > MAX_NAMES:
        raise ParseError(f"the layers make {count} hosts, at most {MAX_NAMES} are allowed", origin=origin_of(layers))
    for chosen in product(*values):
        templar = Templar(engine, dict(zip(layers, chosen, strict=True)))
        name = str(templar.render(hosts["name"]))
        inventory.add_host(name)
        _add_parents(inventory, name, options.listed(hosts, "parents"), templar, 0)


def _add_parents(inventory: Inventory, child: str, parents: list[object], templar: Templar, depth: int) -> None:
    if depth > _DEPTH:
        raise ParseError(f"parents are nested more than {_DEPTH} levels deep", origin=origin_of(parents))
    for parent in parents:
        if not isinstance(parent, dict):
            raise options.wrong(parent, "each parent", "dictionary")
        name = templar.render(parent.get("name"))
        if not name:
            raise ParseError(f"Element {child} has a parent with no name.", origin=origin_of(parent))
        group = inventory.add_group(str(name)).name
        for key, value in options.mapping(parent, "vars").items():
            # Text is filled in now, anything else is left to those who use it.
            inventory.set_variable(group, key, value_of(value, templar) if isinstance(value, str) else value)
        inventory.add_child(group, child)
        _add_parents(inventory, group, options.listed(parent, "parents"), templar, depth + 1)
