"""registry: every lookup, by name."""

from __future__ import annotations

from collections.abc import Mapping

from pybible.server.engine.templating.lookups import loops, sequences, system, texts
from pybible.server.engine.templating.lookups.call import Lookup

LOOKUPS: Mapping[str, Lookup] = {**loops.LOOKUPS, **sequences.LOOKUPS, **system.LOOKUPS, **texts.LOOKUPS}
