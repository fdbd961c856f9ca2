"""plays: playbooks and plays to the model, import_playbook expanded in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pybible.server.engine.model.keywords import NO_KEYWORDS, Keywords
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.model.play import Block, Node, Play, Role, Task, VarsPrompt, new_id
from pybible.server.engine.model.text import SourceDict, Vaulted, origin_of
from pybible.server.engine.parsing import keywords
from pybible.server.engine.parsing.roles import RoleReader
from pybible.server.engine.parsing.scope import MAX_IMPORTS, PlayScope, Scope, Sources, own_keywords
from pybible.server.engine.parsing.tasks import TaskReader
from pybible.wire.errors import ExitStatus, Origin, ParseError, SourceError, TemplateError, VaultError

_IMPORT: Final = ("import_playbook", "ansible.builtin.import_playbook", "ansible.legacy.import_playbook")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Imported:
    """What import_playbook pushes into every play of the file."""

    vars: Mapping[str, object]
    tags: tuple[str, ...]
    when: tuple[object, ...]


_NOTHING: Final = _Imported(vars={}, tags=(), when=())


class PlayReader:
    """Reads playbook files. `scopes` remembers, by the play's id, what its dynamic includes need."""

    def __init__(self, sources: Sources, tasks: TaskReader, roles: RoleReader) -> None:
        self._sources = sources
        self._tasks = tasks
        self._roles = roles
        self.scopes: dict[str, PlayScope] = {}

    def read_file(self, path: Path, *, origin: Origin | None = None, depth: int = 0) -> list[Play]:
        """Return the plays of a playbook file, imported ones in their places. Raises SourceError."""
        if depth > MAX_IMPORTS:
            raise ParseError(f"playbooks import each other more than {MAX_IMPORTS} deep", origin=origin)
        return self._read_entries(path, origin, _NOTHING, depth)

    def _read_entries(self, path: Path, origin: Origin | None, imported: _Imported, depth: int) -> list[Play]:
        data = self._sources.load(path, origin)
        if self._sources.finder is not None:
            self._sources.finder.enter_playbook(path.parent)
        if data is None:
            raise ParseError(f"Empty playbook, nothing to do: {path}")
        if not isinstance(data, list):
            kind = "dict" if isinstance(data, dict) else "str" if isinstance(data, str) else type(data).__name__
            raise ParseError(
                f"A playbook must be a list of plays, got a <class '{kind}'> instead: {path}", origin=origin_of(data)
            )
        if not data:
            raise ParseError(f"A playbook must contain at least one play: {path}")
        plays: list[Play] = []
        for entry in data:
            if not isinstance(entry, dict):
                raise ParseError(
                    "playbook entries must be either valid plays or 'import_playbook' statements",
                    origin=origin_of(entry) or origin_of(data),
                )
            if any(key in entry for key in _IMPORT):
                plays += self._import(entry, path.parent, imported, depth)
            else:
                plays.append(self._read_play(entry, path.parent, imported))
        return plays

    def _import(self, entry: Mapping[str, object], folder: Path, outer: _Imported, depth: int) -> list[Play]:
        origin = origin_of(entry) or Origin("")
        named = [key for key in _IMPORT if key in entry]
        if len(named) != 1:
            raise SourceError(f"Found conflicting import_playbook actions: {', '.join(named)}", origin=origin)
        mapping = SourceDict(entry, origin)
        mapping["import_playbook"] = mapping.pop(named[0])
        keywords.check(mapping, keywords.IMPORT_PLAYBOOK, "PlaybookInclude")
        variables = {**keywords.variables(mapping, "PlaybookInclude"), **outer.vars}
        play = PlayScope(directory=folder, collection=self._sources.collection_of(folder), variables=variables)
        scope = Scope(play=play)
        inside = own_keywords(mapping, scope, self._sources, what="PlaybookInclude", level="")
        wanted = self._imported_name(mapping["import_playbook"], scope)
        imported = _Imported(
            vars=variables,
            tags=tuple(dict.fromkeys((*outer.tags, *inside.tags))),
            when=(*outer.when, *inside.when),
        )
        if depth >= MAX_IMPORTS:
            raise ParseError(f"playbooks import each other more than {MAX_IMPORTS} deep", origin=origin)
        return self._read_entries(self._imported_path(wanted, folder), origin, imported, depth + 1)

    def _imported_name(self, written: object, scope: Scope) -> str:
        try:
            return self._sources.render_text(written, scope)
        except TemplateError as error:
            failed = TemplateError("Error processing keyword 'import_playbook'", origin=origin_of(written))
            failed.exit_status = ExitStatus.PARSER_ERROR
            raise failed from error

    def _imported_path(self, wanted: str, folder: Path) -> Path:
        path = folder / expanded(wanted)
        if path.exists() or self._sources.finder is None:
            return path
        return self._sources.finder.find_playbook(wanted, directory=folder) or path

    # -- one play -------------------------------------------------------------------------------------------------

    def _read_play(self, entry: Mapping[str, object], directory: Path, imported: _Imported) -> Play:
        mapping = _without_user(entry)
        origin = origin_of(mapping) or Origin("")
        keywords.check(mapping, keywords.PLAY, "Play")
        hosts = _read_hosts(mapping, origin)
        variables = {**keywords.variables(mapping, "Play"), **imported.vars}
        vars_files = tuple(keywords.as_list(mapping.get("vars_files")))
        collection = self._sources.collection_of(directory)
        play_scope = PlayScope(directory=directory, collection=collection, variables=variables)
        outer = Keywords(tags=imported.tags, when=imported.when) if imported is not _NOTHING else NO_KEYWORDS
        scope = Scope(play=play_scope, keywords=outer)
        play_scope.variables = {**variables, **self._static_vars(vars_files, scope)}
        inside = own_keywords(mapping, scope, self._sources, what="Play", level="")
        roles, blocks, handlers = self._read_sections(mapping, scope.within(inside))
        play = Play(
            id=new_id("p"),
            origin=origin,
            name=keywords.text(mapping.get("name")),
            hosts=hosts,
            keywords=inside,
            vars=variables,
            vars_files=vars_files,
            vars_prompt=_read_prompts(mapping),
            roles=roles,
            blocks=blocks,
            handlers=handlers,
            gather_facts=mapping.get("gather_facts"),
            gather_subset=mapping.get("gather_subset"),
            gather_timeout=mapping.get("gather_timeout"),
            fact_path=mapping.get("fact_path"),
            force_handlers=mapping.get("force_handlers"),
            max_fail_percentage=mapping.get("max_fail_percentage"),
            serial=tuple(keywords.as_list(mapping.get("serial"))),
            strategy=mapping.get("strategy"),
            order=mapping.get("order"),
            directory=directory,
        )
        self.scopes[play.id] = play_scope
        return play

    def _read_sections(
        self, mapping: Mapping[str, object], scope: Scope
    ) -> tuple[tuple[Role, ...], tuple[Block, ...], tuple[Node, ...]]:
        entries = mapping.get("roles") or ()
        if not isinstance(entries, list | tuple):
            raise ParseError(
                "A malformed role declaration was encountered: roles should be a list", origin=origin_of(mapping)
            )
        compiled = [self._roles.read_entry(entry, scope, listed=origin_of(entries)) for entry in entries]
        pre, main, post = (
            self._tasks.read_blocks(mapping.get(section), scope, what=section)
            for section in ("pre_tasks", "tasks", "post_tasks")
        )
        # A condition of import_playbook holds for tasks, not for handlers.
        unconditional = scope.within(replace(scope.keywords, when=()))
        own_handlers = self._tasks.read_handlers(mapping.get("handlers"), replace(unconditional, handlers=True))
        blocks = (
            *pre,
            _flush(mapping, scope),
            *(block for role in compiled for block in role.blocks),
            *main,
            _flush(mapping, scope),
            *post,
            _flush(mapping, scope),
        )
        handlers = (
            *(handler for role in compiled for handler in role.handlers),
            *own_handlers,
            *scope.play.imported_handlers,
        )
        return (*(role.role for role in compiled), *scope.play.imported_roles), blocks, handlers

    def _static_vars(self, vars_files: Sequence[object], scope: Scope) -> dict[str, object]:
        """Return what is known of vars_files before the run; the rest is found when there are hosts."""
        known: dict[str, object] = {}
        for entry in vars_files:
            for candidate in entry if isinstance(entry, list) else [entry]:
                try:
                    name = self._sources.render_text(candidate, scope)
                except TemplateError:
                    continue
                path = scope.play.directory / expanded(name)
                if not path.is_file():
                    path = scope.play.directory / "vars" / name
                if path.is_file():
                    try:
                        data = self._sources.load(path)
                    except VaultError as error:
                        raise TemplateError(f"Invalid vars_files file {str(path)!r}.") from error
                    known.update(data if isinstance(data, dict) else {})
                    break
        return known


def _without_user(entry: Mapping[str, object]) -> Mapping[str, object]:
    """Return the play with `user`, the old name of remote_user, under its new one."""
    if "user" not in entry:
        return entry
    if "remote_user" in entry:
        raise ParseError(
            "both 'user' and 'remote_user' are set for this play. The use of 'user' is deprecated,"
            " and should be removed",
            origin=origin_of(entry),
        )
    renamed = SourceDict(entry, origin_of(entry))
    renamed["remote_user"] = renamed.pop("user")
    return renamed


def _read_hosts(mapping: Mapping[str, object], origin: Origin) -> object:
    if "hosts" not in mapping:
        raise ParseError("The field 'hosts' is required but was not set.", origin=origin)
    hosts = mapping["hosts"]
    place = origin_of(hosts) or keywords.key_origin(mapping, "hosts")
    if not hosts:
        raise ParseError("Hosts list cannot be empty. Please check your playbook", origin=place)
    if isinstance(hosts, list):
        for host in hosts:
            if host is None:
                raise ParseError("Hosts list cannot contain values of 'None'. Please check your playbook", origin=place)
            if not isinstance(host, str):
                raise ParseError(f"Hosts list contains an invalid host value: '{host}'", origin=place)
    elif not isinstance(hosts, str | Vaulted):
        raise ParseError("Hosts list must be a sequence or string. Please check your playbook.", origin=place)
    return hosts


def _read_prompts(mapping: Mapping[str, object]) -> tuple[VarsPrompt, ...]:
    prompts: list[VarsPrompt] = []
    place = origin_of(mapping.get("vars_prompt")) or keywords.key_origin(mapping, "vars_prompt")
    for entry in keywords.as_list(mapping.get("vars_prompt")):
        if not isinstance(entry, dict) or "name" not in entry:
            raise ParseError("Invalid vars_prompt data structure, missing 'name' key", origin=place)
        for key in entry:
            if key not in keywords.VARS_PROMPT:
                raise ParseError(
                    f"Invalid vars_prompt data structure, found unsupported key '{key}'",
                    origin=origin_of(key) or place,
                    hint=keywords.nearest(str(key), keywords.VARS_PROMPT),
                )
        prompts.append(
            VarsPrompt(
                name=str(entry["name"]),
                prompt=keywords.text(entry.get("prompt")),
                default=entry.get("default"),
                private=_truth(entry, "private", default=True),
                confirm=_truth(entry, "confirm", default=False),
                unsafe=_truth(entry, "unsafe", default=False),
                encrypt=keywords.text(entry.get("encrypt")),
                salt=keywords.text(entry.get("salt")),
                salt_size=_whole(entry, "salt_size"),
                origin=origin_of(entry),
            )
        )
    return tuple(prompts)


def _whole(mapping: Mapping[str, object], key: str) -> int | None:
    value = mapping.get(key)
    if value is None:
        return None
    try:
        return int(str(value))
    except ValueError:
        raise ParseError(
            f"'{key}' must be a whole number, not '{value}'",
            origin=origin_of(value) or keywords.key_origin(mapping, key),
        ) from None


def _truth(mapping: Mapping[str, object], key: str, *, default: bool) -> bool:
    value = mapping.get(key)
    if value is None:
        return default
    return value if isinstance(value, bool) else str(value).strip().lower() in ("yes", "true", "on", "1", "y", "t")


def _flush(mapping: Mapping[str, object], scope: Scope) -> Block:
    """Return the block that runs notified handlers at the end of a section."""
    origin = origin_of(mapping) or Origin("")
    always = Keywords(tags=tuple(dict.fromkeys((*scope.keywords.tags, "always"))))
    task = Task(
        id=new_id("t"),
        origin=origin,
        action="meta",
        action_written="meta",
        args={"_raw_params": "flush_handlers"},
        keywords=always,
        implicit=True,
    )
    return Block(id=new_id("b"), origin=origin, keywords=always, block=(task,), implicit=True)
