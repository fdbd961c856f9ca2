"""registry: the inventory plugins that render, by name: YAML files with `plugin: NAME` ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pybible.server.engine.inventory.sources import PluginReader
from pybible.server.engine.inventory_plugins.constructed import read_constructed
from pybible.server.engine.inventory_plugins.generator import read_generator
from pybible.server.engine.templating.engine import TemplateEngine


def plugins(
    engine: TemplateEngine,
    extra_vars: Mapping[str, object],
    *,
    facts: Callable[[str], Mapping[str, object] | None] = lambda host: None,
) -> Mapping[str, PluginReader]:
    """Return what reads the configuration of each plugin into an inventory. `facts` are those kept of a host."""
    return {
        "constructed": partial(read_constructed, engine=engine, extra_vars=extra_vars, facts=facts),
        "generator": partial(read_generator, engine=engine),
    }
