"""keywords: which keywords a play, a block, a task, ... may have, and what their values must look like.

The table is complete for ansible-core 2.19: a keyword that is not in it is a mistake of the writer's, one in
UNSUPPORTED is ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pybible.server.engine.model.text import Trusted, origin_of
from pybible.server.engine.parsing.known import LOOKUPS
from pybible.wire.errors import Origin, ParseError, SourceError

# What a value must be. TEXT may be any scalar; BOOL, INT, FLOAT may also be templates and are judged when used.
TEXT, BOOL, INT, FLOAT, LIST, MAP, ANY = "text", "bool", "int", "float", "list", "map", "any"

_BASE: Final = {
    "name": TEXT, "connection": TEXT, "port": INT, "remote_user": TEXT, "vars": MAP, "module_defaults": ANY,
    "environment": ANY, "no_log": BOOL, "run_once": BOOL, "ignore_errors": BOOL, "ignore_unreachable": BOOL,
    "check_mode": BOOL, "diff": BOOL, "any_errors_fatal": BOOL, "throttle": INT, "timeout": INT, "debugger": TEXT,
    "become": BOOL, "become_method": TEXT, "become_user": TEXT, "become_flags": TEXT, "become_exe": TEXT,
}  # fmt: skip
_TAGGABLE: Final = {"tags": LIST}
_CONDITIONAL: Final = {"when": LIST}
_COLLECTIONS: Final = {"collections": LIST}
_DELEGATED: Final = {"delegate_to": TEXT, "delegate_facts": BOOL}

PLAY: Final = {
    **_BASE, **_TAGGABLE, **_COLLECTIONS, "hosts": LIST, "gather_facts": BOOL, "gather_subset": LIST,
    "gather_timeout": INT, "fact_path": TEXT, "vars_files": LIST, "vars_prompt": LIST, "roles": LIST,
    "pre_tasks": LIST, "tasks": LIST, "post_tasks": LIST, "handlers": LIST, "force_handlers": BOOL,
    "max_fail_percentage": TEXT, "serial": LIST, "strategy": TEXT, "order": TEXT, "user": TEXT,
}  # fmt: skip
BLOCK: Final = {
    **_BASE, **_TAGGABLE, **_CONDITIONAL, **_COLLECTIONS, **_DELEGATED, "notify": LIST,
    "block": LIST, "rescue": LIST, "always": LIST,
}  # fmt: skip
TASK: Final = {
    **_BASE, **_TAGGABLE, **_CONDITIONAL, **_COLLECTIONS, **_DELEGATED, "notify": LIST, "action": ANY,
    "local_action": ANY, "args": ANY, "async": INT, "changed_when": LIST, "delay": FLOAT, "failed_when": LIST,
    "loop": ANY, "loop_control": ANY, "poll": INT, "register": TEXT, "retries": INT, "until": LIST,
}  # fmt: skip
HANDLER: Final = {**TASK, "listen": LIST}
# Of a task's keywords, those that make sense for a dynamic include: the others would not reach what it includes.
INCLUDE: Final = frozenset(
    {
        "action", "args", "collections", "debugger", "ignore_errors", "loop", "loop_control", "name", "no_log",
        "register", "run_once", "tags", "timeout", "vars", "when", "local_action",
    }
)  # fmt: skip
ROLE: Final = {
    **_BASE, **_TAGGABLE, **_CONDITIONAL, **_COLLECTIONS, **_DELEGATED, "role": TEXT,
}  # fmt: skip
IMPORT_PLAYBOOK: Final = {**_BASE, **_TAGGABLE, **_CONDITIONAL, "import_playbook": TEXT}
LOOP_CONTROL: Final = {
    "loop_var": TEXT, "index_var": TEXT, "label": TEXT, "pause": FLOAT, "extended": BOOL, "extended_allitems": BOOL,
    "break_when": LIST,
}  # fmt: skip
VARS_PROMPT: Final = frozenset(
    {"name", "prompt", "default", "private", "confirm", "encrypt", "salt_size", "salt", "unsafe"}
)

# Names that Jinja reads as something else.
_RESERVED: Final = frozenset({"true", "false", "none", "True", "False", "None", "not"})


def nearest(word: str, words: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the word that is most like `word`, empty when none is."""
    close = difflib.get_close_matches(word, sorted(words), n=1, cutoff=0.7)
    return f"Did you mean '{close[0]}'?" if close else ""


def key_origin(mapping: Mapping[str, object], key: str) -> Origin | None:
    """Return where `key` stands in its mapping, or where the mapping does."""
    for candidate in mapping:
        if candidate == key:
            return origin_of(candidate) or origin_of(mapping)
    return origin_of(mapping)


def check(mapping: Mapping[str, object], table: Mapping[str, str], what: str) -> None:
    """Raise ParseError for a key that `what` does not have, or whose value has the wrong shape."""
    for key, value in mapping.items():
        kind = table.get(key) if isinstance(key, str) else None
        if kind is None:
            raise unknown_keyword(mapping, key, table, what)
        if kind in (TEXT, BOOL, INT, FLOAT) and isinstance(value, dict | list):
            shape = "list" if isinstance(value, list) else "dict"
            raise ParseError(
                f"The field '{key}' is supposed to be a {_described(kind)} type,"
                f" however the incoming data structure is a <class '{shape}'>",
                origin=origin_of(value) or key_origin(mapping, key),
            )


def unknown_keyword(mapping: Mapping[str, object], key: object, table: Iterable[str], what: str) -> ParseError:
    """Return the error for a key that `what` does not have."""
    return ParseError(
        f"'{key}' is not a valid attribute for a {what}",
        origin=key_origin(mapping, str(key)),
        hint=nearest(str(key), table),
    )


def unsupported(mapping: Mapping[str, object], key: str) -> ParseError:
    """Return the error for a keyword that Ansible has and pybible does not, yet."""
    return ParseError(f"the keyword '{key}' is not supported yet", origin=key_origin(mapping, key))


def _described(kind: str) -> str:
    return {TEXT: "string", BOOL: "bool", INT: "int", FLOAT: "float"}[kind]


def as_list(value: object) -> list[object]:
    """Return the value of a keyword that takes one thing or a list of them."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def conditions(value: object) -> tuple[object, ...]:
    """Return the expressions of when, until, ...; nothing means no condition."""
    return tuple(item for item in as_list(value) if item is not None)


def text(value: object) -> str:
    """Return a scalar keyword's value as text; it stays Trusted when it is."""
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def check_variable_name(name: object, origin: Origin | None = None) -> None:
    """Raise SourceError when `name` can't name a variable."""
    valid = isinstance(name, str) and name.isidentifier() and name.isascii() and name not in _RESERVED
    if valid:
        return
    described = f"name '{name}'" if isinstance(name, str | int | float | bool | None) else "name"
    if not isinstance(name, str):
        described += f" of type '{type(name).__name__}'"
    raise SourceError(
        f"Invalid variable {described}.",
        origin=origin_of(name) or origin,
        hint="Variable names must be strings starting with a letter or underscore character,"
        " and contain only letters, numbers and underscores.",
    )


def variables(mapping: Mapping[str, object], what: str, *, key: str = "vars") -> dict[str, object]:
    """Return the variables of a `vars` keyword. Raises ParseError, SourceError."""
    value = mapping.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ParseError(
            f"Vars in a {what} must be specified as a dictionary.",
            origin=origin_of(value) or key_origin(mapping, key),
        )
    for name in value:
        check_variable_name(name, origin_of(value))
    return value


def is_whole_template(value: object) -> bool:
    """Whether `value` begins and ends with a template's delimiters."""
    return isinstance(value, Trusted) and value.startswith(("{{", "{%", "{#")) and value.endswith(("}}", "%}", "#}"))


def is_loop(key: str, folders: Iterable[Path] = ()) -> bool:
    """Whether `key` is with_X for an X that exists: built in, of a collection, or a lookup_plugins/X.py in a folder."""
    if not key.startswith("with_"):
        return False
    name = key.removeprefix("with_")
    if name in LOOKUPS or name.count(".") >= 2:
        return True
    return any((folder / "lookup_plugins" / f"{name}.py").is_file() for folder in folders)
