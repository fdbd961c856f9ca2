"""custom: the operator's own filters, tests and lookups, in folders beside playbooks and in roles.

They are the operator's Python and run with ctl's rights, as they do under ansible-playbook. A file in filter_plugins/
offers a class FilterModule with a method `filters`, one in test_plugins/ TestModule with `tests`, which return
name -> function; one in lookup_plugins/ LookupModule with `run(terms, variables, **options)`, by the file's name.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from pybible.server.engine.templating.external import ExternalPlugins, Variables
from pybible.server.engine.templating.plugins import Plugin
from pybible.wire.errors import Origin, TemplateError

if TYPE_CHECKING:
    from pybible.server.engine.templating.lookups.call import Lookup, LookupCall

Warn: TypeAlias = Callable[[str], None]

_KINDS = (("filter_plugins", "FilterModule", "filters"), ("test_plugins", "TestModule", "tests"))
_LOOKUPS = "lookup_plugins"
_IMPORTS_ANSIBLE = re.compile(r"^\s*(?:from|import)\s+ansible\b", re.MULTILINE)


def load_custom(
    folder: Path, external: ExternalPlugins | None = None, *, warn: Warn = lambda text: None
) -> tuple[dict[str, Plugin], dict[str, Plugin], dict[str, Lookup]]:
    """Return the filters, tests and lookups that a playbook's or a role's folder offers. Raises TemplateError.

    A file that can't be loaded is warned of and offers nothing: it is one of many, and may not be needed. A lookup is
    loaded when it is used; filters and tests at once, as their names are only known then.
    """
    external = external or ExternalPlugins(directory=folder)
    filters, tests = (load_jinja(name, folder / name, external, warn=warn) for name, _class_name, _method in _KINDS)
    return filters, tests, load_lookups(folder / _LOOKUPS, external)


def load_jinja(kind: str, place: Path, external: ExternalPlugins, *, warn: Warn) -> dict[str, Plugin]:
    """Return the filters or tests of the files in one folder; `kind` is filter_plugins or test_plugins."""
    class_name, method = next((class_name, method) for name, class_name, method in _KINDS if name == kind)
    offered: dict[str, Plugin] = {}
    for path in _files(place):
        needs_ansible = _imports_ansible(path) and not external.importable()
        try:
            offered.update(_offered(path, class_name, method))
        except Exception as error:
            if needs_ansible:
                external.make_importable(str(path))
            warn(f"Skipping plugin ({path}), cannot load: {error}")
    return offered


def load_lookups(place: Path, external: ExternalPlugins) -> dict[str, Lookup]:
    """Return the lookups of the files in one folder."""
    return {path.stem: _lookup(path, external) for path in _files(place)}


def _files(place: Path) -> list[Path]:
    return [path for path in sorted(place.glob("*.py")) if path.name != "__init__.py"] if place.is_dir() else []


def _offered(path: Path, class_name: str, method: str) -> Mapping[str, Plugin]:
    maker = getattr(_executed(path), class_name, None)
    offered = {} if maker is None else dict(getattr(maker(), method)())
    return {str(name): function for name, function in offered.items() if callable(function)}


def _lookup(path: Path, external: ExternalPlugins) -> Lookup:
    known: list[Callable[[LookupCall], list[object]]] = []

    def run(call: LookupCall) -> list[object]:
        if not known:
            known.append(_loaded_lookup(path, external))
        return known[0](call)

    return run


def _loaded_lookup(path: Path, external: ExternalPlugins) -> Callable[[LookupCall], list[object]]:
    needs_ansible = _imports_ansible(path)
    if needs_ansible and external.importable():
        # Its base class needs ansible-core's own loader: options are read from its documentation.
        found = external.lookup(path.stem, folder=path.parent)
        if found is None:
            raise TemplateError(f"could not load {path}: it has no class LookupModule", origin=Origin(str(path)))
        return lambda call: list(found(call))
    try:
        maker = getattr(_loaded(path), "LookupModule", None)
    except TemplateError:
        if needs_ansible:
            external.make_importable(str(path))
        raise
    if maker is None:
        raise TemplateError(f"could not load {path}: it has no class LookupModule", origin=Origin(str(path)))
    return lambda call: list(maker().run(call.terms, variables=Variables(call.templar), **call.options))


def _imports_ansible(path: Path) -> bool:
    return _IMPORTS_ANSIBLE.search(path.read_text(encoding="utf-8", errors="replace")) is not None


def _loaded(path: Path) -> ModuleType:
    try:
        return _executed(path)
    except Exception as error:
        raise TemplateError(f"could not load {path}: {error}", origin=Origin(str(path))) from error


def _executed(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"pybible_custom_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
