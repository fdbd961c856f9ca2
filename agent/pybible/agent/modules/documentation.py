"""documentation: what native modules say of their arguments, as JSON: `python -m pybible.agent.modules.documentation`.

pybible-ctl asks for it, and docs/reference/modules.md is made of it. Without names all modules are described.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys

from pybible.agent.modules import registry
from pybible.agent.modules.api import FileAttributes
from pybible.agent.modules.spec import Argument
from pybible.wire.values import JsonObject

# What a module's file says of itself speaks of the agent's part only.
_TEXTS = {
    "fetch": "brings a file of the host's to the control node. It may have 47 MiB at most.",
    "template": "renders a Jinja template of the control node's for each host, and copies the result there.",
}
_FILE_ATTRIBUTES = tuple(item.name for item in dataclasses.fields(FileAttributes))


def described(name: str) -> JsonObject:
    """Return a module's purpose, its arguments and the rules between them. KeyError when it is not native."""
    module = registry.find(name)
    if module is None or name not in registry.NAMES:
        raise KeyError(name)
    arguments = module.spec.arguments
    shared = set(_FILE_ATTRIBUTES) <= arguments.keys()
    return {
        "name": name,
        "purpose": _purpose(name),
        "arguments": [_argument(item, shared=shared) for item in arguments.values() if _is_public(item)],
        "mutually_exclusive": [list(group) for group in module.mutually_exclusive],
        "required_one_of": [list(group) for group in module.required_one_of],
        "required_together": [list(group) for group in module.required_together],
        "required_by": [[argument, list(needed)] for argument, needed in module.required_by],
        "required_if": [[argument, value, list(needed)] for argument, value, needed in module.required_if],
    }


def _purpose(name: str) -> str:
    if name in _TEXTS:
        return _TEXTS[name]
    module = importlib.import_module(f"pybible.agent.modules.{registry.file_of(name)}")
    return " ".join((module.__doc__ or "").partition("\n")[0].partition(": ")[2].split())


def _is_public(argument: Argument) -> bool:
    return argument.name == "_raw_params" or not argument.name.startswith("_")


def _argument(item: Argument, *, shared: bool) -> JsonObject:
    return {
        "name": item.name,
        "type": "any" if item.kind == "raw" else item.kind,
        "elements": None if item.element is None else item.element.__name__.removeprefix("to_"),
        "required": item.required,
        "default": item.default,
        "choices": list(item.choices),
        "aliases": list(item.aliases),
        "no_log": item.no_log,
        "file_attribute": shared and item.name in _FILE_ATTRIBUTES,
        "doc": item.doc,
        "suboptions": [
            _argument(inner, shared=False)
            for inner in (item.suboptions.spec.arguments.values() if item.suboptions else ())
        ],
    }


def main(arguments: list[str]) -> int:
    """Print the modules that are named, or all, by name."""
    parser = argparse.ArgumentParser(prog="pybible.agent.modules.documentation")
    parser.add_argument("names", nargs="*")
    names = parser.parse_args(arguments).names or registry.NAMES
    json.dump({name: described(name) for name in names if name in registry.NAMES}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
