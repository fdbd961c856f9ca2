"""vars_files: the files that a play's `vars_files` names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pybible.server.engine.model.play import Play
from pybible.server.engine.model.text import is_template, origin_of
from pybible.server.engine.parsing.yaml_source import load_file
from pybible.server.engine.templating.errors import UndefinedVariable
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.vault import VaultSecrets
from pybible.wire.errors import ParseError


class VarsFiles:
    """Reads each file once."""

    def __init__(self, vault: VaultSecrets | None, warn: Callable[[str], None]) -> None:
        self._vault = vault
        self._warn = warn
        self._known: dict[Path, Mapping[str, object]] = {}
        self._static: dict[str, tuple[Mapping[str, object], ...]] = {}

    def layers(
        self, play: Play, templar: Callable[[Sequence[Mapping[str, object]]], Templar], *, complete: bool
    ) -> tuple[Mapping[str, object], ...]:
        """Return the mappings, in order. `templar` renders names with what was read so far.

        `complete`: facts are known, so that a name which can't be rendered is an error; before that it is passed over.
        """
        if not play.vars_files:
            return ()
        known = self._static.get(play.id)
        if known is not None:
            return known
        found: list[Mapping[str, object]] = []
        static = True
        for entry in play.vars_files:
            static = static and not any(is_template(name) for name in _alternatives(entry))
            loaded = self._first(entry, play, templar(found), complete=complete)
            if loaded is not None:
                found.append(loaded)
        layers = tuple(found)
        if static:
            self._static[play.id] = layers
        return layers

    def _first(self, entry: object, play: Play, templar: Templar, *, complete: bool) -> Mapping[str, object] | None:
        names: list[str] = []
        for alternative in _alternatives(entry):
            try:
                name = templar.render_text(alternative)
            except UndefinedVariable:
                if complete:
                    raise
                return None
            names.append(name)
            for folder in (play.directory / "vars", play.directory):
                path = (folder / name).resolve() if name else folder
                if path.is_file():
                    return self._load(path, entry)
        missing = names[0] if len(names) == 1 else str(names)
        raise ParseError(f"vars file {missing} was not found", origin=origin_of(entry))

    def _load(self, path: Path, entry: object) -> Mapping[str, object]:
        known = self._known.get(path)
        if known is None:
            value = load_file(path, self._vault, warn=self._warn)
            if value is None:
                value = {}
            if not isinstance(value, dict):
                raise ParseError(f"{path} must contain a dictionary of variables.", origin=origin_of(entry))
            known = self._known[path] = value
        return known


def _alternatives(entry: object) -> Sequence[object]:
    return entry if isinstance(entry, list | tuple) else (entry,)
