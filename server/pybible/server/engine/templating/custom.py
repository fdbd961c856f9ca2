"""custom: the operator's own filters and tests, in filter_plugins/ and test_plugins/ beside playbooks and in roles.

They are the operator's Python and run with ctl's rights, as they do under ansible-playbook. A file offers a class
FilterModule with a method `filters`, or TestModule with `tests`, which return name -> function.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from pybible.server.engine.templating.plugins import Plugin
from pybible.wire.errors import Origin, TemplateError

_KINDS = (("filter_plugins", "FilterModule", "filters"), ("test_plugins", "TestModule", "tests"))


def load_custom(folder: Path) -> tuple[dict[str, Plugin], dict[str, Plugin]]:
    """Return the filters and the tests that a playbook's or a role's folder offers. Raises TemplateError."""
    found: list[dict[str, Plugin]] = []
    for name, class_name, method in _KINDS:
        offered: dict[str, Plugin] = {}
        place = folder / name
        if place.is_dir():
            for path in sorted(place.glob("*.py")):
                offered.update(_offered(path, class_name, method))
        found.append(offered)
    return found[0], found[1]


def _offered(path: Path, class_name: str, method: str) -> Mapping[str, Plugin]:
    spec = importlib.util.spec_from_file_location(f"pybible_custom_{path.stem}", path)
    if spec is None or spec.loader is None:
        return {}
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        maker = getattr(module, class_name, None)
        offered = {} if maker is None else dict(getattr(maker(), method)())
    except ImportError as error:
        hint = "Plugins that need Ansible's own code need the extra `ansible`." if "ansible" in str(error) else ""
        raise TemplateError(f"could not load {path}: {error}", origin=Origin(str(path)), hint=hint) from error
    except Exception as error:
        raise TemplateError(f"could not load {path}: {error}", origin=Origin(str(path))) from error
    return {str(name): function for name, function in offered.items() if callable(function)}
