"""environment: Jinja as Ansible uses it: sandboxed, native types, lazy variables.

A lone expression keeps its type; several pieces make text; nothing is parsed again from text. Variables are not copied
into Jinja's context: it asks the Templar for each name that a template uses.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from itertools import islice
from pathlib import Path
from types import GeneratorType
from typing import Protocol, cast

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.lexer import Lexer, Token
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context, str_join
from jinja2.sandbox import SandboxedEnvironment

from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.lazy import CHANGING, LazyDict, LazyList, type_name
from pybible.server.engine.templating.limits import INTERCEPTED, OUTPUT_LIMIT, operate, too_much_text
from pybible.server.engine.templating.undefined import OMIT, UndefinedValue
from pybible.wire.errors import TemplateError

# The key under which a context's mapping carries its owner; no name in a template can spell it.
OWNER = " owner"
# So many pieces are looked at before they are put together: a template may yield them without end.
_PIECES = 10_000
_VIEWS = (KeysView, ValuesView, ItemsView)
LOOKUP_NAMES = frozenset({"lookup", "query", "q"})
_DICT_ATTRIBUTES = frozenset(dir(dict))
_LIST_ATTRIBUTES = frozenset(dir(list))
_TEXT_ATTRIBUTES = frozenset(dir(str))


class Owner(Protocol):
    """What a context needs of the Templar that it renders for."""

    def name(self, key: str) -> object:
        """Return a variable's rendered value, `missing` when there is none."""

    def embedded(self, text: str) -> object:
        """Render a template that stands in a constant of an expression."""

    def finalize(self, value: object) -> object:
        """Return plain data."""

    def template_directories(self) -> tuple[Path, ...]:
        """Return the folders in which included templates are looked up."""

    def note_impure(self) -> None:
        """Record that a value depends on more than variables, so that it is not kept."""

    def warn(self, text: str) -> None:
        """Show a warning."""


class TemplateContext(Context):
    """A context that asks its owner for variables, when a template uses them."""

    def __init__(
        self,
        environment: jinja2.Environment,
        parent: dict[str, object],
        name: str | None,
        blocks: dict[str, Callable[[Context], Iterable[str]]],
        globals: MutableMapping[str, object] | None = None,
    ) -> None:
        super().__init__(environment, parent, name, blocks, globals)  # type: ignore[arg-type]
        self.owner: Owner = parent[OWNER]  # type: ignore[assignment]

    def resolve_or_missing(self, key: str) -> object:
        """Look a name up: in the template's own scope, then among the variables."""
        if key in self.vars:
            return self.vars[key]
        if key in self.parent:
            return self.parent[key]
        return self.owner.name(key)

    def embedded(self, text: str) -> object:
        """Render a template that stands in a constant."""
        return self.owner.embedded(text)


class _CodeGenerator(NativeCodeGenerator):
    """Writes templates' Python so that values keep their types and nothing is computed before its time."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> str:
        # Only text of the template itself is constant: Jinja would fold `{{ 1 }}` into text, and call filters early.
        if isinstance(node, nodes.TemplateData):
            return str(super()._output_child_to_const(node, frame, finalize))
        raise nodes.Impossible

    def visit_Import(self, node: nodes.Import, frame: Frame) -> None:
        """Import with context always: macros need the variables' owner."""
        node.with_context = True
        super().visit_Import(node, frame)

    def visit_FromImport(self, node: nodes.FromImport, frame: Frame) -> None:
        """As visit_Import."""
        node.with_context = True
        super().visit_FromImport(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        """Have texts joined by the environment, which bounds them."""
        self.write("environment.join((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        """Mark constants that are templates in the arguments of lookups."""
        if isinstance(node.node, nodes.Name) and node.node.name in LOOKUP_NAMES:
            node.args = [embed(argument) for argument in node.args]
            for keyword in node.kwargs:
                keyword.value = embed(keyword.value)
        super().visit_Call(node, frame, forward_caller=forward_caller)


def embed(node: nodes.Expr) -> nodes.Expr:
    """Return an expression that renders `node` if it is constant text with a template in it."""
    if isinstance(node, nodes.Const) and isinstance(node.value, str) and "{{" in node.value and "}}" in node.value:
        context = nodes.ContextReference(lineno=node.lineno)
        method = nodes.Getattr(context, "embedded", "load", lineno=node.lineno)
        call = nodes.Call(method, [nodes.Const(node.value)], [], None, None, lineno=node.lineno)
        call.set_environment(cast("jinja2.Environment", node.environment))
        return call
    return node


class _LiteralLexer(Lexer):
    """Takes backslashes in the constants of `{{ }}` as they are, so that patterns need no doubled ones."""

    def wrap(
        self, stream: Iterable[tuple[int, str, str]], name: str | None = None, filename: str | None = None
    ) -> Iterator[Token]:
        """Turn raw tokens into tokens."""
        return super().wrap(self._doubled(stream), name, filename)

    @staticmethod
    def _doubled(stream: Iterable[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
        inside = False
        for line, kind, text in stream:
            if kind == "variable_begin":
                inside = True
            elif kind == "variable_end":
                inside = False
            elif inside and kind == "string":
                text = text[0] + text[1:-1].replace("\\", "\\\\") + text[-1]
            yield line, kind, text


class TemplateEnvironment(SandboxedEnvironment):
    """A sandbox that compiles for native types and looks into mappings first."""

    code_generator_class = _CodeGenerator
    context_class = TemplateContext
    intercepted_binops = INTERCEPTED

    def __init__(self, *, literal_backslashes: bool = False, **options: object) -> None:
        super().__init__(undefined=UndefinedValue, optimized=False, **options)
        self.globals["range"] = range
        self._own_lexer = _LiteralLexer(self) if literal_backslashes else Lexer(self)

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Do an operation that may make much of a little."""
        return operate(operator, left, right)

    def call(self, context: Context, function: Callable[..., object], /, *args: object, **kwargs: object) -> object:
        """Call what a template calls: not a text's method that would pad it beyond all limits."""
        if args and type(args[0]) is int and args[0] > OUTPUT_LIMIT and isinstance(_self_of(function), str):
            raise too_much_text()
        return super().call(context, function, *args, **kwargs)

    @staticmethod
    def join(parts: Iterable[object]) -> str:
        """Join what stands between `~`."""
        text = str_join(list(part) if isinstance(part, _VIEWS) else part for part in parts)
        if len(text) > OUTPUT_LIMIT:
            raise too_much_text()
        return text

    @property
    def lexer(self) -> Lexer:
        """The lexer of this environment's delimiters."""
        return self._own_lexer

    @staticmethod
    def concat(values: Iterable[object]) -> str:
        """Join what a template yields: one value as it is, several as text; nothing is None."""
        return concat(values)  # type: ignore[return-value]

    def getattr(self, obj: object, attribute: str) -> object:
        """Return `obj.attribute`: a mapping's own methods, then its keys; of anything else its attribute first."""
        if isinstance(obj, dict) and attribute not in _DICT_ATTRIBUTES:
            try:
                return obj[attribute]
            except KeyError:
                return UndefinedValue(obj=obj, name=attribute)
        # What our own subclasses have besides is nothing that templates know.
        if (isinstance(obj, list) and attribute not in _LIST_ATTRIBUTES) or (
            isinstance(obj, str) and attribute not in _TEXT_ATTRIBUTES
        ):
            return UndefinedValue(obj=obj, name=attribute)
        if attribute in CHANGING and isinstance(obj, LazyDict | LazyList):
            obj.before_change()
        return super().getattr(obj, attribute)

    def unsafe_undefined(self, obj: object, attribute: str) -> UndefinedValue:
        """Return what stands for an attribute that templates may not see."""
        told = f"access to attribute {attribute!r} of {type_name(obj)!r} object is unsafe."
        return UndefinedValue(told, obj=obj, name=attribute, exc=SecurityError)

    def getitem(self, obj: object, argument: object) -> object:
        """Return `obj[argument]`, the attribute of that name when there is no such key."""
        if isinstance(obj, dict):
            try:
                return obj[argument]
            except (KeyError, TypeError):
                pass
        elif isinstance(obj, UndefinedValue):
            return obj
        return super().getitem(obj, argument)


def concat(values: Iterable[object]) -> object:
    """Join what a template yields: one value as it is, several as text; nothing is None."""
    rest = iter(values)
    # A list is there as a whole already.
    taken = values if type(values) is list else list(islice(rest, _PIECES))
    parts = [value for value in taken if value is not None]
    if len(taken) < _PIECES or taken is values:
        return _joined(parts) if len(parts) > 1 else _single(parts[0]) if parts else None
    texts: list[str] = []
    size = 0
    while taken:
        texts.append(_joined(taken))
        size += len(texts[-1])
        if size > OUTPUT_LIMIT:
            raise too_much_text()
        taken = list(islice(rest, _PIECES))
    return "".join(texts)


def _single(value: object) -> object:
    if type(value) is str and len(value) > OUTPUT_LIMIT:
        raise too_much_text()
    return value


def _self_of(function: object) -> object:
    return getattr(function, "__self__", None)


def _joined(parts: Iterable[object]) -> str:
    size = 0
    pieces = []
    for part in parts:
        text = part if type(part) is str else text_of(part)
        size += len(text)
        if size > OUTPUT_LIMIT:
            raise too_much_text()
        pieces.append(text)
    return "".join(pieces)


def text_of(value: object) -> str:
    """Return how a value reads between other text."""
    if value is OMIT or value is None:
        return ""
    if isinstance(value, UndefinedValue):
        raise value.failure()
    if isinstance(value, jinja2.Undefined):
        return ""
    if isinstance(value, Trusted):
        return str(value)
    if isinstance(value, (GeneratorType, *_VIEWS)):
        value = list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, LazyDict | LazyList | dict | list | tuple):
        return str(_bare(value, 0))
    return str(value)


def _bare(value: object, depth: int) -> object:
    """Return a container with plain text in it, for its repr."""
    if depth > 200:
        raise TemplateError("Recursive loop detected in template")
    if isinstance(value, UndefinedValue):
        raise value.failure()
    if isinstance(value, Trusted):
        return str(value)
    if isinstance(value, Mapping):
        return {_bare(key, depth): _bare(item, depth + 1) for key, item in value.items() if item is not OMIT}
    if isinstance(value, list):
        return [_bare(item, depth + 1) for item in value if item is not OMIT]
    if isinstance(value, tuple):
        # As ansible-core: plain tuples are lists wherever values are put together.
        bare = [_bare(item, depth + 1) for item in value]
        return bare if type(value) is tuple else tuple(bare)
    return value
