"""documenting: what `doc` prints once its command line is read."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from pybible.server.cli.module_docs import native_modules
from pybible.server.cli.running import places_for
from pybible.server.cli.settings import load_settings
from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.model.text import SourceDict
from pybible.server.engine.parsing import known
from pybible.server.engine.parsing.actions import read_statement
from pybible.server.engine.parsing.scope import PlayScope, Scope, ScopedFinder
from pybible.wire.errors import ExitStatus, Origin
from pybible.wire.values import JsonObject, JsonValue

_WIDTH = 100
_ORIGIN = Origin("<CLI argument>")


def show(modules: Sequence[str], *, as_json: bool, module_path: Sequence[str]) -> ExitStatus:
    """Print the named modules, or a list of the native ones. Raises PybibleError when a name is none's."""
    if not modules:
        native = native_modules()
        listed = {name: str(module["purpose"]) for name, module in native.items()}
        click.echo(json.dumps(listed, indent=2) if as_json else _list(listed))
        return ExitStatus.OK
    settings = load_settings()
    scope = Scope(play=PlayScope(directory=Path.cwd(), variables={}))
    finder = ScopedFinder(Finder(places_for(settings, module_path)), scope)
    found = {name: _place(name, finder) for name in modules}
    native = native_modules(*(str(place["name"]) for place in found.values() if place["native"]))
    shown = {name: place | native.get(str(place["name"]), {}) for name, place in found.items()}
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    else:
        click.echo("\n\n".join(map(_text, shown.values())))
    return ExitStatus.OK


def _place(written: str, finder: ScopedFinder) -> JsonObject:
    """Return what runs under that name, as a task that says it would find it."""
    name = known.canonical(written)
    if name in known.ACTIONS:
        return {"name": name, "native": False, "engine": True}
    statement = read_statement(SourceDict({written: None}, _ORIGIN), finder)
    if statement.bridged is not None:
        return {"name": statement.bridged.name, "native": False, "path": str(statement.bridged.path)}
    return {"name": statement.action, "native": True}


def _list(modules: dict[str, str]) -> str:
    width = max(map(len, modules))
    rows = (
        textwrap.fill(purpose, _WIDTH, initial_indent=f"{name:{width}}  ", subsequent_indent=" " * (width + 2))
        for name, purpose in sorted(modules.items())
    )
    return "\n".join(rows)


def _text(module: JsonObject) -> str:
    name = module["name"]
    if module.get("engine"):
        return f"{name}\n  is not a module: the engine does it itself, on the control node."
    if not module["native"]:
        return f"{name}\n  is not native: it is sent to hosts as it is, from\n  {module['path']}"
    lines = [name, textwrap.fill(_sentence(module["purpose"]), _WIDTH, initial_indent="  ", subsequent_indent="  ")]
    own = [item for item in module["arguments"] if not item["file_attribute"]]
    attributes = [item for item in module["arguments"] if item["file_attribute"]]
    lines += ["", "ARGUMENTS", *_arguments(own)] if own else []
    lines += ["", "OF THE FILE", *_arguments(attributes)] if attributes else []
    rules = list(_rules(module))
    lines += ["", "RULES", *(f"  {rule}" for rule in rules)] if rules else []
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _arguments(arguments: Iterable[JsonObject], indent: str = "  ") -> Iterable[str]:
    for item in arguments:
        about = [item["type"] + (f" of {item['elements']}" if item["elements"] else "")]
        if item["required"]:
            about.append("required")
        elif item["default"] not in (None, []):
            about.append(f"default {_word(item['default'])}")
        if item["no_log"]:
            about.append("never shown")
        yield f"{indent}{_name(item['name'])} ({', '.join(about)})"
        details = [item["doc"]] if item["doc"] else []
        if item["choices"]:
            details.append(f"One of: {', '.join(map(_word, item['choices']))}")
        if item["aliases"]:
            details.append(f"Also called {', '.join(item['aliases'])}")
        for detail in details:
            yield textwrap.fill(detail, _WIDTH, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    ")
        yield from _arguments(item["suboptions"], f"{indent}    ")


def _name(argument: str) -> str:
    return "free form" if argument == "_raw_params" else argument


def _word(value: JsonValue) -> str:
    return value if isinstance(value, str) and value.strip() else json.dumps(value)


def _rules(module: JsonObject) -> Iterable[str]:
    for group in module["mutually_exclusive"]:
        yield f"At most one of {_names(group)}."
    for group in module["required_one_of"]:
        yield f"One of {_names(group)} is needed."
    for group in module["required_together"]:
        yield f"{_names(group)} only together."
    for name, needed in module["required_by"]:
        yield f"{name} needs {_names(needed)}."
    for name, value, needed in module["required_if"]:
        yield f"{name}={_word(value)} needs {_names(needed)}."


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(_name, names))
