"""reference: the parts of docs/reference that are made from the code: `python -m tests.support.reference` writes them.

A page is either made as a whole, or holds parts between `<!-- made: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import get_args

import click
import jinja2.filters
import jinja2.tests

from pybible.agent import metrics as agent_metrics
from pybible.agent.cli import _parser as agent_parser
from pybible.agent.modules import registry
from pybible.agent.modules.documentation import described
from pybible.server.cli import ansible_keys
from pybible.server.cli.main import ctl
from pybible.server.cli.module_docs import completed
from pybible.server.controller.cli import command as controller_command
from pybible.server.controller.metrics.catalog import CATALOG
from pybible.server.engine.executor.play import STRATEGIES
from pybible.server.engine.parsing import keywords, known
from pybible.server.engine.plan.arguments import ARGUMENTS_FILE
from pybible.server.engine.templating.filters.registry import FILTERS
from pybible.server.engine.templating.lookups.registry import LOOKUPS
from pybible.server.engine.templating.tests.registry import TESTS
from pybible.server.results.events import RunEvent
from pybible.wire.values import JsonObject
from tests.support import transcripts

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "reference"
_PART = re.compile(r"(<!-- made: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_NOTICE = "<!-- Made by `make docs` from the code: don't edit it. -->\n"

# What a play, a block or a task may say that pybible refuses, see parsing/scope and parsing/tasks.
REFUSED_KEYWORDS = frozenset({"async", "debugger"})
_WITHOUT_MEANING = frozenset({"poll", "collections", "remote_user", "port", "user"})


def pages() -> dict[Path, str]:
    """Return every page that is made, wholly or in part, as it should be."""
    found = {PAGES / "pybible-ctl.md": _ctl_page(), PAGES / "modules.md": _modules_page()}
    for path in sorted(PAGES.glob("*.md")):
        text = path.read_text()
        if path not in found and _PART.search(text):
            found[path] = _PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}\n{match[3]}", text)
    return found


# -- the command line --------------------------------------------------------------------------------------------------

_CTL_HEAD = """# pybible-ctl

The operator's command. Commands that only ask the controller need to be told which one: by `--controller`, by
`PYBIBLE_CONTROLLER`, or in [the settings](settings.md#pybible-ctl). `run` and `exec` start one in their own process
when none is named.

An address is `unix:PATH` (the controller's socket, on its own machine) or `HOST:PORT` (with the identity that
`pybible-ctl login` stored).

## Exit status

| status | meaning |
|---|---|
| 0 | everything was done |
| 1 | an error: a file, a setting, a controller that can't be reached |
| 2 | a task failed on at least one host |
| 4 | a host was unreachable; also a playbook that can't be parsed |
| 5 | wrong options |
| 8 | the run was cancelled or interrupted by somebody else |
| 99 | ended by ^C |
| 250 | a bug in pybible |
"""


def _ctl_page() -> str:
    parts = [_CTL_HEAD.replace("\n\n", f"\n\n{_NOTICE}\n", 1)]
    context = click.Context(ctl, info_name="pybible-ctl")
    for name in ctl.list_commands(context):
        command = ctl.get_command(context, name)
        if command is not None:
            parts += _command_sections(command, f"pybible-ctl {name}")
    return "\n".join(parts)


def _command_sections(command: click.Command, name: str) -> Iterable[str]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield f"## {name}\n\n{_usage(command, name)}\n\n{_options_table(command)}"
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _command_sections(inner, f"{name} {inner.name}")


def _usage(command: click.Command, name: str) -> str:
    context = click.Context(command, info_name=name)
    pieces = [
        piece for piece in command.collect_usage_pieces(context) if "COMMAND" not in piece and "ARGS" not in piece
    ]
    return f"    {name} {' '.join(pieces)}\n\n{inspect.cleandoc(command.help or '')}"


def _options_table(command: click.Command) -> str:
    options = [item for item in command.params if isinstance(item, click.Option)]
    rows = [(_option_names(item) + _value(item), _option_text(item)) for item in options if not item.hidden]
    text = _table(("option", "meaning"), rows)
    without_effect = [_option_names(item) for item in options if item.hidden and "no SSH" in (item.help or "")]
    if without_effect:
        text += "\nTaken, with a warning that they have no effect, as nothing is reached over SSH: "
        text += f"{'; '.join(reversed(without_effect))}.\n"
    return text


def _option_names(option: click.Option) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _option_text(option: click.Option) -> str:
    text, default = option.help or "", option.default
    if isinstance(default, str | int) and not isinstance(default, bool) and default and not text.endswith("]"):
        text += f" [{default}]"
    return text


def _value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice):
        return f" `{'|'.join(option.type.choices)}`"
    return f" `{option.metavar or option.type.name.upper().removesuffix(' RANGE')}`"


def _metrics() -> str:
    """Return the controller's metrics with their types and labels."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for each in CATALOG.values():
        labels = "; ".join(f"`{name}`: {text}" for name, text in each.labels.items())
        lines.append(f"| `{each.name}` | {each.kind} | {labels} | {each.text} |")
    return "\n".join(lines) + "\n"


def _agent_metrics() -> str:
    """Return the agent's metrics."""
    lines = ["| metric | type | label | meaning |", "|---|---|---|---|"]
    for name, (kind, meaning, label) in agent_metrics.CATALOG.items():
        lines.append(f"| `{name}` | {kind} | {f'`{label}`' if label else ''} | {meaning} |")
    return "\n".join(lines) + "\n"


def _controller_options() -> str:
    return _options_table(controller_command)


def _agent_options() -> str:
    parts = []
    parser = agent_parser()
    commands = next(item for item in parser._actions if isinstance(item, argparse._SubParsersAction))
    for name, inner in commands.choices.items():
        rows = [
            (", ".join(f"`{word}`" for word in item.option_strings) + (f" `{item.metavar or item.dest.upper()}`"),
             (item.help or "").partition(" (default: %(")[0])
            for item in inner._actions
            if item.dest != "help"
        ]  # fmt: skip
        parts.append(f"`pybible-agent {name}`\n\n{_table(('option', 'meaning'), rows)}")
    return "\n".join(parts)


# -- modules -----------------------------------------------------------------------------------------------------------

_MODULES_HEAD = f"""# Modules

{_NOTICE}
These modules run on agents, without Ansible on the host. [Any other module](../how-to/use-other-modules.md) goes there
as it is. Each is called by its name, by `ansible.builtin.NAME` or by `ansible.legacy.NAME`; one of another collection
by its full name, or by the short one where ansible-core takes that for it. Arguments, results
and messages are those of the stock modules. [What the engine does itself](language.md#actions-of-the-engine), such as
`debug` and `set_fact`, is no module.

In check mode `command`, `shell`, `raw` and `fetch` are skipped (`command` and `shell` with `creates` or `removes` say
whether they would run); all others say what they would do.

## File attributes

Modules that make files have these arguments too.
"""


def _modules_page() -> str:
    modules = [completed(described(name)) for name in registry.NAMES]
    shared = next(found for found in modules if found["name"] == "file")["arguments"]
    parts = [_MODULES_HEAD, _arguments_table(item for item in shared if item["file_attribute"])]
    return "\n".join([*parts, *map(_module_section, modules)])


def _module_section(module: JsonObject) -> str:
    own = [item for item in module["arguments"] if not item["file_attribute"]]
    text = f"## {module['name']}\n\n{_capital(module['purpose'])}\n\n{_arguments_table(own)}"
    if len(own) < len(module["arguments"]):
        text += "\nAnd the [file attributes](#file-attributes).\n"
    return text + _rules(module) + _tested(module["name"])


def _tested(name: str) -> str:
    """Return what the module was tested with, where that was not the program itself on a host."""
    programs = [of for transcript in transcripts.names() for of in transcripts.source(transcript, name)]
    if not programs:
        return ""
    return f"\nTested with transcripts of the programs that it calls: {'; '.join(programs)}.\n"


def _arguments_table(arguments: Iterable[JsonObject]) -> str:
    rows = [
        row
        for item in arguments
        for row in (_argument_row(item), *(_argument_row(inner, f"{item['name']}[].") for inner in item["suboptions"]))
    ]
    return _table(("argument", "type", "default", "meaning"), rows)


def _argument_row(item: JsonObject, outer: str = "") -> tuple[str, str, str, str]:
    name = "free form" if item["name"] == "_raw_params" else f"`{outer}{item['name']}`"
    if item["aliases"]:
        name += f" ({', '.join(f'`{alias}`' for alias in item['aliases'])})"
    text = item["doc"]
    if item["choices"]:
        text += f"{': ' if text else ''}{', '.join(f'`{choice}`' for choice in item['choices'])}"
    return name, item["type"], "required" if item["required"] else _shown(item["default"]), text


def _shown(value: object) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f"`{repr(value)[1:-1]}`"
    return f"`{', '.join(map(str, value)) if isinstance(value, list) else value}`"


def _rules(module: JsonObject) -> str:
    lines = [
        *(f"At most one of {_names(group)}." for group in module["mutually_exclusive"]),
        *(f"One of {_names(group)} is needed." for group in module["required_one_of"]),
        *(f"{_names(group)} only together." for group in module["required_together"]),
        *(f"`{name}` needs {_names(needed)}." for name, needed in module["required_by"]),
        *(f"`{name}: {_shown(value)[1:-1]}` needs {_names(needed)}." for name, value, needed in module["required_if"]),
    ]
    return f"\n{' '.join(lines)}\n" if lines else ""


def _names(names: Sequence[str]) -> str:
    return ", ".join("free form" if name == "_raw_params" else f"`{name}`" for name in names)


# -- the language ------------------------------------------------------------------------------------------------------


def _keywords() -> str:
    tables = {"play": keywords.PLAY, "block": keywords.BLOCK, "task": keywords.TASK, "role": keywords.ROLE}
    rows = [
        (what, _words(set(table) - REFUSED_KEYWORDS - _WITHOUT_MEANING - ({"roles"} if what == "role" else set())))
        for what, table in tables.items()
    ]
    rows.append(("handler", "those of a task, and `listen`"))
    rows.append(("`import_playbook`", _words({"import_playbook", "name", "vars", "tags", "when"})))
    rows.append(
        ("`include_tasks`, `include_role`", _words(set(keywords.INCLUDE) - REFUSED_KEYWORDS - _WITHOUT_MEANING))
    )
    rows.append(("`loop_control`", _words(keywords.LOOP_CONTROL)))
    rows.append(("`vars_prompt`", _words(set(keywords.VARS_PROMPT) - {"encrypt", "salt", "salt_size"})))
    return _table(("where", "keywords"), rows)


def _filters() -> str:
    return _plugins(FILTERS, jinja2.filters.FILTERS)


def _tests() -> str:
    return _plugins(TESTS, jinja2.tests.TESTS)


def _plugins(ours: Iterable[str], jinja: Iterable[str]) -> str:
    return f"Ansible's: {_words(set(ours) - set(jinja))}.\n\nJinja's: {_words(set(ours) & set(jinja))}.\n"


def _events() -> str:
    rows = []
    for kind in get_args(RunEvent):
        names = (item.name for item in dataclasses.fields(kind))
        rows.append(
            (f"`{kind.type}`", (kind.__doc__ or "").partition("\n")[0], ", ".join(f"`{name}`" for name in names))
        )
    return _table(("`type`", "what happened", "fields"), rows)


def _ansible_settings() -> str:
    """Show the settings that something asks for; the others of the table have no meaning here, or none yet."""
    table = inspect.getsourcefile(ansible_keys)
    read = "".join(path.read_text() for path in (ROOT / "server").rglob("*.py") if str(path) != table)
    rows = [
        (
            # A setting that is asked for by its variable is read from there only.
            ", ".join(f"`[{section}] {key}`" for section, key in item.ini if f'"{item.name}"' in read),
            ", ".join(f"`{name}`" for name in item.env),
            _default_of(item),
            item.meaning,
        )
        for item in ansible_keys.KEYS
        if any(f'"{name}"' in read for name in (item.name, *item.env)) and item.meaning != ansible_keys.NOTHING
    ]
    return _table(("`ansible.cfg`", "variable", "default", "meaning"), rows)


def _default_of(item: ansible_keys.Key) -> str:
    if item.name == "DEFAULT_HOST_LIST":
        return "the agents"
    default = list(item.default) if isinstance(item.default, tuple) else item.default
    return _shown(default.replace("{home}", "~/.ansible") if isinstance(default, str) else default)


PARTS: dict[str, Callable[[], str]] = {
    "keywords": _keywords,
    "filters": _filters,
    "tests": _tests,
    "lookups": lambda: f"{_words(LOOKUPS)}.\n",
    "strategies": lambda: f"{_words(STRATEGIES)}.\n",
    "events": _events,
    "meta": lambda: f"{_words(known.META)}.\n",
    "ansible settings": _ansible_settings,
    "controller options": _controller_options,
    "metrics": _metrics,
    "agent metrics": _agent_metrics,
    "agent options": _agent_options,
}


# -- text --------------------------------------------------------------------------------------------------------------


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def native_arguments() -> str:
    """Return what the engine knows of native modules: the names of their arguments, aliases among them."""
    lines = []
    # What `package` takes is what the host's package manager takes.
    for name in sorted(set(registry.NAMES) - {"package"}):
        arguments = completed(described(name))["arguments"]
        names = {word for item in arguments for word in (item["name"], *item["aliases"])} - {"_raw_params"}
        lines.append(f"{json.dumps(name)}: {json.dumps(sorted(names))}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    """Write every page, and what the engine knows of native modules."""
    for path, text in {**pages(), ARGUMENTS_FILE: native_arguments()}.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
