"""external: filters, tests and lookups that need ansible-core: those of collections, and files that import `ansible`.

They are the operator's Python and run in ctl's process. ansible-core is imported when the first of them is used, from
where Places finds it; a run that uses none never does.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import jinja2
from jinja2.utils import _PassArg, missing

from pybible.server.engine.bridge.places import Places
from pybible.server.engine.templating.plugins import Plugin
from pybible.wire.errors import TemplateError

if TYPE_CHECKING:
    from pybible.server.engine.templating.lookups.call import Lookup, LookupCall
    from pybible.server.engine.templating.templar import Templar

HOW_TO_GET = "It needs ansible-core on this machine: pip install 'pybible[server,ansible]', or PYBIBLE_ANSIBLE=PATH."
_BUILTIN = ("ansible.builtin.", "ansible.legacy.")


class ExternalPlugins:
    """Finds plugins by full names (`community.general.json_query`), and those in folders that it is told."""

    def __init__(self, places: Places | None = None, *, directory: Path) -> None:
        self._places = places or Places()
        self._directory = directory
        self._ready = False
        self._folders: set[tuple[str, Path]] = set()
        self._found: dict[tuple[str, str], Plugin | None] = {}

    def jinja(self, kind: str, name: str) -> Plugin | None:
        """Return a `filter` or `test` of a collection, None where there is none of that name. Raises TemplateError."""
        if name.count(".") < 2 or name.startswith(_BUILTIN):
            return None
        key = kind, name
        if key not in self._found:
            self._prepare(f"the {kind} {name!r}")
            found = _loader(kind).get(name)
            function = getattr(found, "j2_function", None)
            self._found[key] = None if function is None else _for_templates(function)
        return self._found[key]

    def lookup(self, name: str, *, folder: Path | None = None) -> Lookup | None:
        """Return a lookup, of a collection or of a `lookup_plugins` folder. None where there is none."""
        if folder is None and (name.count(".") < 2 or name.startswith(_BUILTIN)):
            return None
        self._prepare(f"the lookup {name!r}")
        loader = _loader("lookup")
        if folder is not None and ("lookup", folder) not in self._folders:
            self._folders.add(("lookup", folder))
            loader.add_directory(str(folder))
        if loader.find_plugin_with_context(name).resolved is not True:
            return None

        def run(call: LookupCall) -> list[object]:
            data = importlib.import_module("ansible.parsing.dataloader").DataLoader()
            data.set_basedir(str(call.directory))
            variables = Variables(call.templar)
            templar = importlib.import_module("ansible.template").Templar(loader=data, variables={})
            plugin = loader.get(name, loader=data, templar=templar)
            return list(plugin.run(call.terms, variables=variables, **call.options))

        return run

    def importable(self) -> bool:
        """See to it that `import ansible` works, and say whether it does."""
        if find_spec("ansible") is not None:
            return True
        core = self._places.core
        if core is None:
            return False
        # At the end: what pybible itself uses stays what it is.
        sys.path.append(str(core.parent))
        importlib.invalidate_caches()
        return True

    def make_importable(self, what: str) -> None:
        """See to it that `import ansible` works. Raises TemplateError."""
        if not self.importable():
            raise TemplateError(f"{what} needs ansible-core, which is not here.", hint=HOW_TO_GET)

    def _prepare(self, what: str) -> None:
        if self._ready:
            return
        self.make_importable(what)
        roots = [str(root.parent) for root in self._places.collection_roots([self._directory])]
        try:
            loaders = importlib.import_module("ansible.plugins.loader")
        except Exception as error:
            raise TemplateError(
                f"{what} needs ansible-core, which can't be loaded: {error}", hint=HOW_TO_GET
            ) from error
        loaders.init_plugin_loader(roots)
        self._ready = True


class Variables(Mapping[str, object]):
    """The variables of a host for a lookup of ansible-core's kind: rendered when they are asked for."""

    def __init__(self, templar: Templar) -> None:
        self._templar = templar

    def __getitem__(self, key: str) -> object:
        if key == "ansible_search_path":
            return [str(folder) for folder in self._templar.search_path]
        value = self._templar.name(key)
        if value is missing:
            raise KeyError(key)
        return self._templar.finalize(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._templar.variables)

    def __len__(self) -> int:
        return len(self._templar.variables)

    def __contains__(self, key: object) -> bool:
        return key in self._templar.variables

    def copy(self) -> dict[str, object]:
        """Return all of them."""
        return dict(self)


def _loader(kind: str) -> _Loader:
    return cast("_Loader", getattr(importlib.import_module("ansible.plugins.loader"), f"{kind}_loader"))


if TYPE_CHECKING:
    from typing import Any, Protocol

    class _Loader(Protocol):
        def get(self, name: str, **given: object) -> Any: ...
        def add_directory(self, directory: str) -> None: ...
        def find_plugin_with_context(self, name: str) -> Any: ...


def _for_templates(function: Callable[..., object]) -> Plugin:
    """Return a plugin that gets plain data, and the part of Jinja's state that it asks for."""
    wanted = _PassArg.from_obj(function)

    @jinja2.pass_context
    def run(context: jinja2.runtime.Context, *args: object, **kwargs: object) -> object:
        owner: Templar = context.owner  # type: ignore[attr-defined]
        owner.note_impure()
        plain = [owner.finalize(value) for value in args]
        named = {name: owner.finalize(value) for name, value in kwargs.items()}
        if wanted is _PassArg.context:
            return function(context, *plain, **named)
        if wanted is _PassArg.eval_context:
            return function(context.eval_ctx, *plain, **named)
        if wanted is _PassArg.environment:
            return function(context.environment, *plain, **named)
        return function(*plain, **named)

    return run


class PluginTable(dict[str, Plugin]):
    """Filters or tests by name; names that are not in it are asked of `external`, and kept."""

    def __init__(self, known: Mapping[str, Plugin], external: Callable[[str], Mapping[str, Plugin]]) -> None:
        super().__init__(known)
        self._external = external

    def __missing__(self, name: str) -> Plugin:
        found = self._external(name)
        if name not in found:
            raise KeyError(name)
        self.update(found)
        return found[name]

    def get(self, name: str, default: object = None) -> Plugin | None:  # type: ignore[override]
        """Return a plugin, as `[]` does, else the default."""
        try:
            return self[name]
        except KeyError:
            return cast("Plugin | None", default)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None
