"""imports: what a Python source imports of module_utils, wherever in it the import stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_CORE = "ansible.module_utils"
_COLLECTIONS = "ansible_collections"


@dataclass(frozen=True, slots=True)
class Import:
    """A module that is imported, and the names that are taken from it: these may be modules themselves.

    `needed`: whatever happens, as nothing would catch its failure.
    """

    module: str
    names: tuple[str, ...] = ()
    needed: bool = False


def imported(source: bytes, *, name: str, package: bool) -> tuple[Import, ...]:
    """Return what a source imports of module_utils.

    `name` is the source's own, `package` whether it is a package's `__init__`. SyntaxError when it is no Python.
    """
    tree = ast.parse(source)
    found: dict[Import, None] = {}
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        for module, names in _of(node, name, package):
            if f"{module}.".startswith((f"{_CORE}.", f"{_COLLECTIONS}.")):
                found.setdefault(Import(module, names, id(node) in top))
            elif module == "ansible" and "module_utils" in names:
                found.setdefault(Import(_CORE))
    return tuple(found)


def _of(node: ast.AST, name: str, package: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, ()
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if node.level:
            parts = name.split(".")
            kept = len(parts) - node.level + (1 if package else 0)
            if kept <= 0:
                return
            module = ".".join([*parts[:kept], *([module] if module else [])])
        yield module, tuple(alias.name for alias in node.names)
