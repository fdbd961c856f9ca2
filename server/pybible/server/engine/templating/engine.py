"""engine: what all templates of a run share: compiled programs, filters, tests, lookups, the vault."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, cast

import jinja2
from jinja2 import nodes
from jinja2.parser import Parser
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

from pybible.server.engine.bridge.places import Places
from pybible.server.engine.commands import LOOKUP_SECONDS
from pybible.server.engine.model.notices import located
from pybible.server.engine.templating.custom import load_custom, load_jinja, load_lookups
from pybible.server.engine.templating.environment import OWNER, Owner, TemplateEnvironment, concat, embed
from pybible.server.engine.templating.external import ExternalPlugins, PluginTable
from pybible.server.engine.templating.filters.registry import FILTERS
from pybible.server.engine.templating.globals import GLOBALS
from pybible.server.engine.templating.lookups.call import Lookup
from pybible.server.engine.templating.lookups.registry import LOOKUPS
from pybible.server.engine.templating.plugins import Plugin, guarded_filters, guarded_tests
from pybible.server.engine.templating.tests.registry import TESTS
from pybible.server.engine.templating.undefined import UndefinedValue
from pybible.server.engine.vault import VaultSecrets
from pybible.server.engine.watch import Watch
from pybible.wire.errors import Origin, TemplateError

# A compiled template or expression: called with the Templar that it is rendered for.
Program: TypeAlias = Callable[[Owner], object]

SOURCE_LIMIT = 4 * 1024 * 1024
_CACHE_LIMIT = 20_000
MANAGED = "Ansible managed"
_PATH = re.compile(r"\{\{\s*([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)\s*\}\}")
_BARE_PATH = re.compile(r"\s*([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)\s*")
_SIMPLE_LIMIT = 4096
_NOT_NAMES = frozenset(
    {"true", "True", "false", "False", "none", "None", "not", "and", "or", "in", "is", "if", "else", "self"}
)
_EXPRESSION = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
_LOADS_FILES = re.compile(r"\{%[-+]?\s*(?:include|import|from|extends)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOptions:
    """How a template's text is read; the defaults are those of everything but template files."""

    trim_blocks: bool = True
    lstrip_blocks: bool = False
    block_start_string: str = "{%"
    block_end_string: str = "%}"
    variable_start_string: str = "{{"
    variable_end_string: str = "}}"
    comment_start_string: str = "{#"
    comment_end_string: str = "#}"
    newline_sequence: str = "\n"


PLAIN_OPTIONS = TemplateOptions()


class TemplateEngine:
    """Compiles each text once. One for a run; `filters`, `tests` and `lookups` add the operator's own plugins."""

    def __init__(
        self,
        *,
        vault: VaultSecrets | None = None,
        filters: Mapping[str, Callable[..., object]] | None = None,
        tests: Mapping[str, Callable[..., object]] | None = None,
        lookups: Mapping[str, Lookup] | None = None,
        warn: Callable[[str], None] | None = None,
        playbook_directory: Path | None = None,
        allow_broken_conditionals: bool = False,
        extensions: Sequence[str] = (),
        managed: str = MANAGED,
        places: Places | None = None,
        watch: Watch | None = None,
        lookup_seconds: float = LOOKUP_SECONDS,
    ) -> None:
        self.vault = vault
        # Ends what is rendered for too long, where it is installed.
        self.watch = watch or Watch()
        # How long a command of a lookup may take; 0: as long as it likes.
        self.lookup_seconds = lookup_seconds
        self.warn: Callable[[str], None] = warn or _ignore
        # Where the template that is being rendered stands.
        self.place: Origin | None = None
        self.playbook_directory = playbook_directory or Path.cwd()
        self.allow_broken_conditionals = allow_broken_conditionals
        # What `ansible_managed` is in template files; it may hold {file}, {host}, {uid} and a date's %-letters.
        self.managed = managed
        self._extensions = tuple(extensions)
        # Settings by ansible's names (DEFAULT_FORKS, ...), for the lookup config.
        self.settings: Mapping[str, object] = {}
        # Host names of an inventory pattern, for the lookup inventory_hostnames; set by whoever knows the inventory.
        self.match_hosts: Callable[[str], list[str]] | None = None
        self.lookups: dict[str, Lookup] = {**LOOKUPS, **(lookups or {})}
        self.external = ExternalPlugins(places, directory=self.playbook_directory)
        self.globals: dict[str, object] = dict(GLOBALS)
        self._filters = PluginTable(guarded_filters({**FILTERS, **(filters or {})}), self._external("filter"))
        self._tests = PluginTable(guarded_tests({**TESTS, **(tests or {})}), self._external("test"))
        self._plugin_folders: set[Path] = set()
        self._environments: dict[tuple[TemplateOptions, tuple[Path, ...], bool], TemplateEnvironment] = {}
        self._templates: dict[str, Program | None] = {}
        self._expressions: dict[str, Program] = {}
        self._files: dict[tuple[str, TemplateOptions, tuple[Path, ...]], Program] = {}
        self._environment = self._environment_for(PLAIN_OPTIONS, (), literal=True)
        self._expressions_environment = self._environment_for(PLAIN_OPTIONS, ())
        for name, value in self._environment.globals.items():
            self.globals.setdefault(name, value)

    def warn_here(self, text: str, *, hint: str = "") -> None:
        """Warn of something in the template that is being rendered."""
        self.warn(located(text, self.place, hint=hint))

    def add_plugins(self, folder: Path) -> None:
        """Take a playbook's or a role's own filters, tests and lookups. Raises TemplateError."""
        if folder in self._plugin_folders:
            return
        self._plugin_folders.add(folder)
        filters, tests, lookups = load_custom(folder, self.external, warn=self.warn)
        self._filters.update(guarded_filters(filters, own=True))
        self._tests.update(guarded_tests(tests, own=True))
        self.lookups.update(lookups)

    def add_plugin_paths(
        self, *, filters: Sequence[Path] = (), tests: Sequence[Path] = (), lookups: Sequence[Path] = ()
    ) -> None:
        """Take the files of folders that ansible.cfg names; of equal names the first counts. Raises TemplateError."""
        for place in reversed(filters):
            found = load_jinja("filter_plugins", place, self.external, warn=self.warn)
            self._filters.update(guarded_filters(found, own=True))
        for place in reversed(tests):
            found = load_jinja("test_plugins", place, self.external, warn=self.warn)
            self._tests.update(guarded_tests(found, own=True))
        for place in reversed(lookups):
            self.lookups.update(load_lookups(place, self.external))

    def _external(self, kind: str) -> Callable[[str], Mapping[str, Plugin]]:
        guarded = guarded_filters if kind == "filter" else guarded_tests

        def find(name: str) -> Mapping[str, Plugin]:
            found = self.external.jinja(kind, name)
            return {} if found is None else guarded({name: found})

        return find

    def template(self, text: str) -> Program | None:
        """Return the program of a template, None when nothing in the text is one. Raises TemplateError."""
        try:
            return self._templates[text]
        except KeyError:
            pass
        program = self._compile(text) if "{{" in text or "{%" in text or "{#" in text else None
        if len(self._templates) >= _CACHE_LIMIT:
            self._templates.clear()
        self._templates[text] = program
        return program

    def expression(self, text: str, *, embedded: bool = False) -> Program:
        """Return the program of a bare expression. `embedded`: its constants may be templates, as in conditionals."""
        try:
            return self._expressions[text]
        except KeyError:
            pass
        check_size(text)
        path = _BARE_PATH.fullmatch(text)
        if path is not None and path[1] not in _NOT_NAMES:
            program = self._expressions[text] = _path_program(path[1], path[2], self._environment)
            return program
        try:
            parser = Parser(self._expressions_environment, text, state="variable")
            expression = parser.parse_expression()
            if not parser.stream.eos:
                raise jinja2.TemplateSyntaxError("chunk after expression", parser.stream.current.lineno, None, None)
            tree = nodes.Template([nodes.Output([expression], lineno=1)], lineno=1)
            tree.set_environment(self._expressions_environment)
            if embedded:
                tree = cast("nodes.Template", _Embedder().visit(tree))
            program = _program(self._expressions_environment.from_string(tree))
        except jinja2.TemplateSyntaxError as error:
            delimited = ". Template delimiters are not supported in expressions" if "{{" in text or "{%" in text else ""
            raise TemplateError(f"Syntax error in expression{delimited}: {error.message}") from None
        if len(self._expressions) >= _CACHE_LIMIT:
            self._expressions.clear()
        self._expressions[text] = program
        return program

    def file_program(self, text: str, options: TemplateOptions, directories: Sequence[Path]) -> Program:
        """Return the program of a template file's text; it may include and import what is in `directories`."""
        key = text, options, tuple(directories)
        program = self._files.get(key)
        if program is None:
            if len(self._files) >= _CACHE_LIMIT:
                self._files.clear()
            program = _newlines_kept(self._from_text(text, self._environment_for(options, key[2])), text, options)
            self._files[key] = program
        return program

    def pieces(self, text: str) -> list[str]:
        """Take a template's text apart into its expressions and the text between; one piece when that can't be done."""
        pieces = [piece for piece in _EXPRESSION.split(text) if piece]
        return [text] if "{%" in text or "{#" in text else pieces

    def _compile(self, text: str) -> Program:
        simple = self._simple(text.removesuffix("\n"))
        if simple is not None:
            return _newlines_kept(simple, text)
        if _LOADS_FILES.search(text):
            return self._loading_program(text)
        return _newlines_kept(self._from_text(text, self._environment), text)

    def _simple(self, text: str) -> Program | None:
        """Return the program of text in which every expression is a name or a path; compiling costs far more."""
        if "{%" in text or "{#" in text or "\r" in text or len(text) > _SIMPLE_LIMIT:
            return None
        pieces = [piece for piece in _EXPRESSION.split(text) if piece]
        parts: list[str | Program] = []
        for piece in pieces:
            path = _PATH.fullmatch(piece)
            if path is not None and path[1] not in _NOT_NAMES:
                parts.append(_path_program(path[1], path[2], self._environment))
            elif "{{" in piece:
                return None
            else:
                parts.append(piece)
        if len(parts) == 1 and not isinstance(parts[0], str):
            return parts[0]
        return _joined(tuple(parts))

    def _from_text(self, text: str, environment: TemplateEnvironment) -> Program:
        check_size(text)
        try:
            return _program(environment.from_string(text))
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"Syntax error in template: {error.message}") from None
        except RecursionError:
            raise TemplateError("Syntax error in template: nested too deeply") from None

    def _loading_program(self, text: str) -> Program:
        def run(owner: Owner) -> object:
            return self._from_text(
                text, self._environment_for(PLAIN_OPTIONS, owner.template_directories(), literal=True)
            )(owner)

        return run

    def _environment_for(
        self, options: TemplateOptions, directories: tuple[Path, ...], *, literal: bool = False
    ) -> TemplateEnvironment:
        key = options, directories, literal
        environment = self._environments.get(key)
        if environment is None:
            environment = self._new_environment(
                literal_backslashes=literal,
                loader=jinja2.FileSystemLoader([str(directory) for directory in directories]),
                trim_blocks=options.trim_blocks,
                lstrip_blocks=options.lstrip_blocks,
                block_start_string=options.block_start_string,
                block_end_string=options.block_end_string,
                variable_start_string=options.variable_start_string,
                variable_end_string=options.variable_end_string,
                comment_start_string=options.comment_start_string,
                comment_end_string=options.comment_end_string,
                newline_sequence=options.newline_sequence,
            )
            environment.filters = self._filters
            environment.tests = self._tests  # type: ignore[assignment]
            self._environments[key] = environment
        return environment

    def _new_environment(self, *, literal_backslashes: bool, **options: object) -> TemplateEnvironment:
        try:
            return TemplateEnvironment(literal_backslashes=literal_backslashes, extensions=self._extensions, **options)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            named = ", ".join(self._extensions)
            raise TemplateError(f"the Jinja extensions {named} (jinja2_extensions) can't be loaded: {error}") from None


class _Embedder(NodeTransformer):
    """Makes constants that hold templates render them."""

    def visit_Const(self, node: nodes.Const) -> nodes.Expr:
        """Replace the constant."""
        return embed(node)


def check_size(text: str) -> None:
    """Raise TemplateError for text that is larger than any template may be."""
    if len(text) > SOURCE_LIMIT:
        raise TemplateError(f"a template may hold at most {SOURCE_LIMIT // 1024 // 1024} MiB of text")


def _ignore(_message: str) -> None:
    pass


def _program(template: jinja2.Template) -> Program:
    environment = template.environment
    context_class, blocks, render = environment.context_class, template.blocks, template.root_render_func
    name = template.name

    def run(owner: Owner) -> object:
        return concat(render(context_class(environment, {OWNER: owner}, name, blocks)))

    return run


def _joined(parts: tuple[str | Program, ...]) -> Program:
    def run(owner: Owner) -> object:
        return concat([part if isinstance(part, str) else part(owner) for part in parts])

    return run


def _path_program(name: str, path: str, environment: TemplateEnvironment) -> Program:
    """Return the program of `{{ name.attribute }}`, which needs no compiling."""
    attributes = tuple(path.split(".")[1:])

    def run(owner: Owner) -> object:
        value = owner.name(name)
        if value is missing:
            value = UndefinedValue(name=name)
        for attribute in attributes:
            value = environment.getattr(value, attribute)
        return value

    return run


def _newlines_kept(program: Program, text: str, options: TemplateOptions = PLAIN_OPTIONS) -> Program:
    """Give rendered text the newlines back that Jinja and trim_blocks took off the end."""
    wanted = _newlines_at_end(text)
    if not wanted:
        return program

    def run(owner: Owner) -> object:
        value = program(owner)
        if not isinstance(value, str):
            return value
        return value + options.newline_sequence * (wanted - _newlines_at_end(value))

    return run


def _newlines_at_end(text: str) -> int:
    return text.count("\n", len(text.rstrip("\r\n")))
