"""inventories: the inventory that -i or ansible.cfg name, read as ansible.cfg says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pybible.server.cli.ansible_config import AnsibleConfig
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory.options import InventoryOptions
from pybible.server.engine.inventory.sources import load_inventory
from pybible.server.engine.inventory_plugins.registry import plugins
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.variables.fact_cache import FactCache


def inventory_options(config: AnsibleConfig) -> InventoryOptions:
    """Return how inventories are read."""
    return InventoryOptions(
        enabled=config.words("INVENTORY_ENABLED"),
        pattern_mismatch=config.text("HOST_PATTERN_MISMATCH"),
        group_characters=config.text("TRANSFORM_INVALID_GROUP_CHARS"),
        unparsed_is_failed=config.flag("INVENTORY_UNPARSED_IS_FAILED"),
        any_unparsed_is_failed=config.flag("INVENTORY_ANY_UNPARSED_IS_FAILED"),
        unparsed_warning=config.flag("INVENTORY_UNPARSED_WARNING"),
    )


def configured_inventory(
    sources: Sequence[str],
    config: AnsibleConfig,
    *,
    engine: TemplateEngine,
    extra_vars: Mapping[str, object],
    warn: Callable[[str], None],
    fact_cache: FactCache | None = None,
) -> Inventory:
    """Read the sources. Raises PybibleError for what ansible.cfg makes an error."""
    facts = {} if fact_cache is None else {"facts": fact_cache.load}
    return load_inventory(
        sources,
        vault=engine.vault,
        warn=warn,
        options=inventory_options(config),
        plugins=plugins(engine, extra_vars, **facts),
    )
