"""vars_files: the files that a play's `vars_files` names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from pybible.server.engine.model.notices import located
from pybible.server.engine.model.play import Play
from pybible.server.engine.model.text import is_template, origin_of
from pybible.server.engine.parsing.yaml_source import load_file
from pybible.server.engine.templating.errors import UndefinedVariable
from pybible.server.engine.templating.lazy import type_name
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.vault import VaultSecrets
from pybible.wire.errors import ParseError, TemplateError, VaultError


class VarsFiles:
    """Reads each file once. What is in the files `brought` from hosts is data."""

    def __init__(
        self, vault: VaultSecrets | None, warn: Callable[[str], None], brought: Collection[Path] = frozenset()
    ) -> None:
        self._vault = vault
        self._warn = warn
        self._brought = brought
        self._known: dict[Path, tuple[Mapping[str, object], ...]] = {}
        # By identity: entries whose skipping was told.
        self._skipped: dict[int, object] = {}
        self._static: dict[str, tuple[Mapping[str, object], ...]] = {}

    def layers(
        self, play: Play, templar: Callable[[Sequence[Mapping[str, object]]], Templar], *, complete: bool
    ) -> tuple[Mapping[str, object], ...]:
        """Return the mappings, in order. `templar` renders names with what was read so far.

        A file that is not there is passed over, as ansible-core does. So is a name that can't be rendered, unless
        facts are known (`complete`): then it is an error.
        """
        known = self._static.get(play.id)
        if known is not None:
            return known
        found: list[Mapping[str, object]] = []
        static = True
        for entry in play.vars_files:
            static = static and not any(is_template(name) for name in _alternatives(entry))
            try:
                found.extend(self._first(entry, play, templar(found)))
            except UndefinedVariable as error:
                if complete:
                    told = f"an undefined variable was found when attempting to template the vars_files item {entry!r}"
                    raise TemplateError(told, origin=origin_of(entry)) from error
                self._skip(entry)
        layers = tuple(found)
        if static:
            self._static[play.id] = layers
        return layers

    def _skip(self, entry: object) -> None:
        if id(entry) not in self._skipped:
            self._skipped[id(entry)] = entry
            place = origin_of(entry[0]) if isinstance(entry, list) and entry else origin_of(entry)
            self._warn(located("skipping vars_files item due to an undefined variable", place))

    def _first(self, entry: object, play: Play, templar: Templar) -> Sequence[Mapping[str, object]]:
        """Return what the first of the alternatives that is there holds."""
        for alternative in _alternatives(entry):
            name = templar.render(alternative)
            if not isinstance(name, str):
                raise ParseError(
                    f"Invalid `vars_files` value of type {type_name(name)!r}.",
                    origin=origin_of(alternative),
                    hint="A `vars_files` value should either be a string or list of strings.",
                )
            for folder in (play.directory / "vars", play.directory):
                path = (folder / name).resolve()
                if path.is_file():
                    return self._load(path)
        return ()

    def _load(self, path: Path) -> Sequence[Mapping[str, object]]:
        known = self._known.get(path)
        if known is None:
            try:
                value = load_file(path, self._vault, trusted=path not in self._brought, warn=self._warn)
            except VaultError as error:
                raise TemplateError(f"Invalid vars_files file {str(path)!r}.") from error
            items = value if isinstance(value, list) else [] if value is None else [value]
            for item in items:
                if not isinstance(item, dict):
                    raise ParseError(
                        "Invalid variable file contents.",
                        origin=origin_of(item) or origin_of(value),
                        hint="Variable files must contain either a dictionary of variables, or a list of dictionaries.",
                    )
            known = self._known[path] = tuple(item for item in items if isinstance(item, dict))
        return known


def _alternatives(entry: object) -> Sequence[object]:
    return entry if isinstance(entry, list | tuple) else (entry,)
