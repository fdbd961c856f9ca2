"""templar: renders values for one host at one moment, with the variables that are visible there.

Only Trusted text is ever a template. What comes out is plain data: rendering it again changes nothing.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from datetime import date, time
from pathlib import Path
from types import MappingProxyType

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.utils import missing
from markupsafe import Markup

from pybible.server.engine.model.notices import deprecated
from pybible.server.engine.model.text import Trusted, Vaulted, origin_of
from pybible.server.engine.templating.conditions import check_expression, check_result, is_delimited, untrusted
from pybible.server.engine.templating.engine import PLAIN_OPTIONS, Program, TemplateEngine, TemplateOptions
from pybible.server.engine.templating.errors import UndefinedVariable, message_of, told
from pybible.server.engine.templating.filters.collections import GroupTuple
from pybible.server.engine.templating.lazy import SCALARS, LazyDict, LazyList
from pybible.server.engine.templating.lookups.call import run_lookup
from pybible.server.engine.templating.undefined import OMIT, UndefinedValue
from pybible.server.engine.vault import Decrypted, VaultSecrets
from pybible.wire.errors import Origin, PybibleError, SourceError, TemplateError, VaultError

# What becomes a list. Ranges and text do not.
_ITERATED = (list, set, frozenset, Iterator, KeysView, ValuesView, ItemsView)
# How deeply templates may lead to templates, and data may be nested.
TEMPLATE_DEPTH = 60
DATA_DEPTH = 300
_DELIMITED = "Conditionals should not be surrounded by templating delimiters such as {{ }} or {% %}."
_EMBEDDED = (
    "Jinja constant strings should not contain embedded templates. "
    "This feature will be disabled by default in ansible-core 2.23."
)
_NOT_EMBEDDED = 'Use inline expressions, for example: `when: "{{ a_var }}" == 42` becomes `when: a_var == 42`'
_PLAY_HOSTS = "The `play_hosts` magic variable is deprecated."
_NOTHING: Mapping[str, object] = MappingProxyType({})


class Templar:
    """Renders with one set of variables. Cheap: one for a host and task, one more for each item of a loop.

    `search_path` holds the folders of the task in which relative files are looked up, innermost first.
    """

    __slots__ = ("_active", "_depth", "_impure", "_memo", "engine", "search_path", "variables")

    def __init__(
        self, engine: TemplateEngine, variables: Mapping[str, object] = _NOTHING, *, search_path: Sequence[Path] = ()
    ) -> None:
        self.engine = engine
        self.variables = variables
        self.search_path = tuple(search_path)
        self._memo: dict[str, object] = {}
        self._active: set[str] = set()
        self._depth = 0
        self._impure = 0

    def with_variables(self, extra: Mapping[str, object]) -> Templar:
        """Return a Templar that sees `extra` before everything else."""
        return Templar(self.engine, Overlay(extra, self.variables), search_path=self.search_path)

    # What the executor and the actions call.

    def render(self, value: object) -> object:
        """Render `value` and everything in it; OMIT itself comes back as OMIT, inside containers it is left out.

        Raises UndefinedVariable and TemplateError, with the place of the template that fails.
        """
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is Trusted:
            result = self._text(value)  # type: ignore[arg-type]
            return result if type(result) in SCALARS else self._finalize_at(result, origin_of(value))
        if isinstance(value, dict):
            rendered = {}
            for key, item in value.items():
                result = self.render(item)
                if result is not OMIT:
                    rendered[str(key) if type(key) is Trusted else key] = result
            return rendered
        if isinstance(value, list):
            return [result for item in value if (result := self.render(item)) is not OMIT]
        return self._finalize_at(self.resolve(value), origin_of(value))

    def render_args(
        self, args: Mapping[str, object], *, action: str = "", origin: Origin | None = None
    ) -> dict[str, object]:
        """Render a task's arguments; the errors name the argument, and the action when it is given.

        `origin` is where the action is named in the operator's file.
        """
        rendered: dict[str, object] = {}
        for key, value in args.items():
            try:
                result = self.render(value)
            except SourceError as error:
                failed = TemplateError(f"Error while resolving value for {str(key)!r}", origin=origin_of(value))
                failed.__cause__ = error
                if not action:
                    raise failed from error
                full = action if "." in action else f"ansible.builtin.{action}"
                raise TemplateError(
                    f"Finalization of task args for {full!r} failed", origin=origin or origin_of(args)
                ) from failed
            if result is not OMIT:
                rendered[str(key)] = result
        return rendered

    def render_text(self, value: object) -> str:
        """Render to text: None and OMIT are empty."""
        result = self.render(value)
        return "" if result is None or result is OMIT else str(result)

    def render_noting(self, value: object) -> tuple[object, list[str]]:
        """Render, with `<< error 1 - ... >>` in place of what is undefined; return what was noted too."""
        noted: list[str] = []
        return self._render_noting(value, noted), noted

    def evaluate(self, expression: str) -> object:
        """Evaluate a bare expression of the operator's, such as debug's `var`."""
        origin = origin_of(expression)
        return self._finalize_at(self._evaluate(expression), origin)

    def evaluate_noting(self, expression: str) -> tuple[object, list[str]]:
        """Evaluate, with `<< error 1 - ... >>` in place of what is undefined."""
        noted: list[str] = []
        try:
            value = self._evaluate(expression)
        except UndefinedVariable as error:
            return _note(error, noted), noted
        return self._finalize_noting(value, noted), noted

    def expression(self, value: object) -> object:
        """Return what an argument that holds an expression means: a template in it is rendered first.

        Raises TemplateError when the text that comes out is data and not the operator's.
        """
        if not isinstance(value, str):
            return self.render(value)
        text = value
        if isinstance(value, Trusted) and is_delimited(value):
            rendered = self._text(value)
            if not isinstance(rendered, str):
                return self._finalize_at(rendered, value.origin)
            text = rendered
        if not isinstance(text, Trusted):
            raise untrusted(origin_of(value))
        return text

    def condition(self, expressions: Sequence[object]) -> tuple[bool, object]:
        """Return whether all hold, and the first that does not, as written (None when all hold)."""
        for expression in expressions:
            if expression is True or expression is None:
                continue
            if expression is False or not self._holds(expression):
                return False, str(expression) if isinstance(expression, str) else expression
        return True, None

    def lookup(self, name: str, terms: object, **options: object) -> list[object]:
        """Run a lookup as with_X does: `terms` as written; a value that is no list is the only term."""
        undefined_ok = name.rpartition(".")[2] == "first_found"
        rendered = self.render_noting(terms)[0] if undefined_ok else self.render(terms)
        items = rendered if isinstance(rendered, list) else [rendered]
        self.engine.place = origin_of(terms)
        try:
            return run_lookup(name, items, options, self, loop=True)
        finally:
            self.engine.place = None

    def render_template(
        self,
        text: str,
        *,
        options: TemplateOptions = PLAIN_OPTIONS,
        origin: Origin | None = None,
    ) -> object:
        """Render the text of the template file `origin`; it may include what is beside it and on the search path.

        A file that is one expression alone gives that expression's value, anything else gives text.
        """
        beside = () if origin is None else (Path(origin.file).parent,)
        directories = tuple(dict.fromkeys((*self.template_directories(), *beside)))

        def compiled() -> Program:
            return self.engine.file_program(text, options, directories)

        return self._finalize_at(self._run(compiled, origin, "template"), origin)

    # What templates call, through their context.

    def name(self, key: str) -> object:
        """Return a variable's rendered value, containers lazily; `missing` when there is none."""
        value = self._memo.get(key, missing)
        if value is not missing:
            return value
        try:
            raw = self.variables[key]
        except KeyError:
            return LazyDict(dict(self.variables), self) if key == "vars" else self.engine.globals.get(key, missing)
        if key == "play_hosts":
            self.engine.warn(deprecated(_PLAY_HOSTS, self.engine.place, hint="Use `ansible_play_batch` instead."))
        if type(raw) in SCALARS:
            return raw
        if key in self._active:
            raise _loop(origin_of(raw))
        before = self._impure
        self._active.add(key)
        try:
            value = self.resolve(raw)
        finally:
            self._active.discard(key)
        if self._impure == before:
            self._memo[key] = value
        return value

    def resolve(self, raw: object) -> object:
        """Render `raw` if it is a template; a container is returned as one that renders what is reached."""
        kind = type(raw)
        if kind in SCALARS or kind is LazyDict or kind is LazyList:
            return raw
        if kind is Trusted:
            try:
                return self._text(raw)  # type: ignore[arg-type]
            except UndefinedVariable as error:
                return UndefinedValue.caused_by(error)
        if isinstance(raw, dict):
            return LazyDict(raw, self)
        if isinstance(raw, list):
            return LazyList(raw, self)
        if kind is Vaulted:
            return self._vaulted(raw)  # type: ignore[arg-type]
        if kind is tuple:
            return tuple(self.resolve(item) for item in raw)  # type: ignore[attr-defined]
        return raw

    def forget(self) -> None:
        """Hand out containers anew from now on."""
        self._memo.clear()

    def embedded(self, text: str) -> object:
        """Render a template that stands in a constant of an expression."""
        self.engine.warn_here(_EMBEDDED, hint=_NOT_EMBEDDED)
        return self._text(Trusted(text))

    def template_directories(self) -> tuple[Path, ...]:
        """Return the folders in which included templates are looked up."""
        folders = (*self.search_path, self.engine.playbook_directory)
        return tuple(dict.fromkeys(path for folder in folders for path in (folder / "templates", folder)))

    def warn(self, text: str) -> None:
        """Show a warning."""
        self.engine.warn(text)

    def note_impure(self) -> None:
        """Record that a value depends on more than variables, so that it is not kept."""
        self._impure += 1

    def finalize(self, value: object) -> object:
        """Return plain data; raises for what is undefined, and for what no variable can hold."""
        return self._finalize(value, 0)

    # How.

    def _text(self, text: Trusted) -> object:
        if "{" not in text:
            return text
        value = self._run(lambda: self.engine.template(text), text.origin, "template", nothing=text)
        if isinstance(value, UndefinedValue) and value.origin is None:
            value.origin = text.origin
        return value

    def _run(self, compiled: object, origin: Origin | None, kind: str, *, nothing: object = None) -> object:
        self._depth += 1
        watch = self.engine.watch
        outermost = watch.doing is None
        if outermost:
            watch.doing = object()
        place, self.engine.place = self.engine.place, origin or self.engine.place
        try:
            if self._depth > TEMPLATE_DEPTH:
                raise _loop(origin)
            program = compiled()  # type: ignore[operator]
            return nothing if program is None else program(self)
        except SourceError as error:
            if error.origin is None:
                error.origin = origin
            raise
        except RecursionError:
            raise _loop(origin) from None
        except MemoryError:
            raise TemplateError("this needs more memory than there is", origin=origin) from None
        except (jinja2.UndefinedError, SecurityError) as error:
            raise UndefinedVariable(str(error), origin=origin) from None
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"Syntax error in template: {error.message}", origin=origin) from None
        except PybibleError:
            raise
        except Exception as error:
            raise TemplateError(f"Error rendering {kind}: {told(error)}", origin=origin) from error
        finally:
            self._depth -= 1
            self.engine.place = place
            if outermost:
                watch.doing = None

    def _evaluate(self, expression: str, *, embedded: bool = False) -> object:
        origin = origin_of(expression)
        return self._run(lambda: self.engine.expression(expression, embedded=embedded), origin, "expression")

    def _holds(self, expression: object) -> bool:
        text = check_expression(expression)
        if is_delimited(text):
            template = Trusted(text.strip(), text.origin)
            value = self._guarded(lambda: self._text(template), text.origin)
            if isinstance(value, str):
                if not isinstance(value, Trusted):
                    raise untrusted(text.origin)
                return self._holds(value)
            self.engine.warn(deprecated(_DELIMITED, text.origin))
        else:
            value = self._guarded(lambda: self._evaluate(text, embedded=True), text.origin)
        if self.engine.allow_broken_conditionals:
            return bool(value)
        return check_result(value, text, template=is_delimited(text))

    def _guarded(self, evaluate: object, origin: Origin | None) -> object:
        try:
            value = evaluate()  # type: ignore[operator]
        except UndefinedVariable as error:
            raise TemplateError("Error while evaluating conditional", origin=origin) from error
        if isinstance(value, UndefinedValue):
            failure = value.failure()
            failure.origin = failure.origin or origin
            raise TemplateError("Error while evaluating conditional", origin=origin) from failure
        return value

    def _vaulted(self, value: Vaulted) -> object:
        try:
            clear = (self.engine.vault or VaultSecrets()).decrypt(value.ciphertext, origin=value.origin)
        except VaultError as error:
            told = f"Attempt to use undecryptable variable: {error.message}"
            # The place of the outer one is the template's that uses the value.
            raise TemplateError("Error rendering template") from TemplateError(told, origin=value.origin)
        return Decrypted(clear.decode("utf-8", "surrogateescape"))

    def _finalize_at(self, value: object, origin: Origin | None) -> object:
        watch = self.engine.watch
        outermost = watch.doing is None
        if outermost:
            watch.doing = object()
        place, self.engine.place = self.engine.place, origin or self.engine.place
        try:
            return self._finalize(value, 0)
        except SourceError as error:
            if error.origin is None:
                error.origin = origin
            raise
        finally:
            self.engine.place = place
            if outermost:
                watch.doing = None

    def _finalize(self, value: object, depth: int) -> object:
        kind = type(value)
        if kind in SCALARS:
            return value
        if kind is LazyDict or kind is dict:
            return self._finalize_dict(value, depth)  # type: ignore[arg-type]
        if kind is LazyList or kind is list:
            return self._finalize_list(value, depth)  # type: ignore[arg-type]
        if isinstance(value, str):
            if isinstance(value, Markup):
                self.engine.warn_here("Type 'Markup' is unsupported in variable storage, converting to 'str'.")
            return str.__str__(value)
        if depth > DATA_DEPTH:
            raise _loop(None)
        if isinstance(value, jinja2.Undefined):
            raise _unstorable(value)
        if isinstance(value, Mapping):
            return self._finalize_dict(value, depth)
        if isinstance(value, _ITERATED):
            return self._finalize_list(value, depth)
        if isinstance(value, tuple):
            if isinstance(value, GroupTuple):
                self.engine.warn_here("Type 'GroupTuple' is unsupported in variable storage, converting to 'list'.")
            return self._finalize_list(value, depth)
        if value is OMIT or isinstance(value, date | time):
            return value
        return self._finalize_rare(value, depth)

    def _finalize_dict(self, value: Mapping[object, object], depth: int) -> dict[object, object]:
        if depth > DATA_DEPTH:
            raise _loop(None)
        rendered: dict[object, object] = {}
        for key, item in value.items():
            result = item if type(item) in SCALARS else self._finalize(item, depth + 1)
            if result is not OMIT:
                rendered[key if type(key) is str or not isinstance(key, str) else str.__str__(key)] = result
        return rendered

    def _finalize_list(self, value: Iterable[object], depth: int) -> list[object]:
        if depth > DATA_DEPTH:
            raise _loop(None)
        rendered = [item if type(item) in SCALARS else self._finalize(item, depth + 1) for item in value]
        return [item for item in rendered if item is not OMIT] if any(item is OMIT for item in rendered) else rendered

    def _finalize_rare(self, value: object, depth: int) -> object:
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, Vaulted):
            return self._finalize(self._vaulted(value), depth + 1)
        if isinstance(value, int | float):
            return value
        raise _unstorable(value)

    def _render_noting(self, value: object, noted: list[str]) -> object:
        if isinstance(value, Trusted):
            try:
                return self._noting_text(value, noted)
            except UndefinedVariable as error:
                return _note(error, noted)
        return self._finalize_noting(self.resolve(value), noted)

    def _noting_text(self, text: Trusted, noted: list[str]) -> object:
        """Render text piece by piece, so that what is defined in it still shows."""
        try:
            return self._finalize_noting(self._text(text), noted)
        except UndefinedVariable:
            pieces = self.engine.pieces(text)
            if len(pieces) < 2:
                raise
            shown = [self._render_noting(Trusted(piece, text.origin), noted) for piece in pieces]
            return "".join("" if piece is None else str(piece) for piece in shown)

    def _finalize_noting(self, value: object, noted: list[str], depth: int = 0) -> object:
        if isinstance(value, UndefinedValue):
            return _note(value.failure(), noted)
        if depth > DATA_DEPTH:
            raise _loop(None)
        inner = depth + 1
        if isinstance(value, Mapping):
            items = value.items()
            return {str(key): self._finalize_noting(item, noted, inner) for key, item in items if item is not OMIT}
        if isinstance(value, list):
            return [self._finalize_noting(item, noted, inner) for item in value if item is not OMIT]
        return self._finalize(value, 0)


class Overlay(Mapping[str, object]):
    """Some variables in front of others."""

    __slots__ = ("_below", "_extra")

    def __init__(self, extra: Mapping[str, object], below: Mapping[str, object]) -> None:
        self._extra = extra
        self._below = below

    def __getitem__(self, key: str) -> object:
        try:
            return self._extra[key]
        except KeyError:
            return self._below[key]

    def __iter__(self) -> Iterator[str]:
        yield from self._extra
        yield from (key for key in self._below if key not in self._extra)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _loop(origin: Origin | None) -> TemplateError:
    error = TemplateError("Recursive loop detected in template", origin=origin)
    error.__cause__ = TemplateError("maximum recursion depth exceeded")
    return error


def _unstorable(value: object) -> TemplateError:
    if isinstance(value, UndefinedValue):
        return value.failure()
    kind = "Undefined" if isinstance(value, jinja2.Undefined) else type(value).__name__
    told = f"Type {kind!r} is unsupported for variable storage."
    error = TemplateError("Error rendering template")
    error.__cause__ = TemplateError(told, origin=Origin("<unknown>"), hint=str(value))
    return error


def _note(error: TemplateError, noted: list[str]) -> str:
    noted.append(message_of(error))
    return f"<< error {len(noted)} - {noted[-1]} >>"
