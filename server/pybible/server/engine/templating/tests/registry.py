"""registry: every test, by name: Jinja's own, with Ansible's over them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import jinja2.tests

from pybible.server.engine.templating.plugins import Plugin
from pybible.server.engine.templating.tests import files, results, values

TESTS: Mapping[str, Plugin] = {
    **cast("dict[str, Plugin]", jinja2.tests.TESTS),
    **files.TESTS,
    **results.TESTS,
    **values.TESTS,
}
