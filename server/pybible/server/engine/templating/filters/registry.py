"""registry: every filter, by name: Jinja's own, with Ansible's over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import jinja2.filters

from pybible.server.engine.templating.filters import collections, encoding, paths, serial, text, values
from pybible.server.engine.templating.plugins import Plugin

FILTERS: Mapping[str, Plugin] = {
    **cast("dict[str, Plugin]", jinja2.filters.FILTERS),
    **collections.FILTERS,
    **encoding.FILTERS,
    **paths.FILTERS,
    **serial.FILTERS,
    **text.FILTERS,
    **values.FILTERS,
}
