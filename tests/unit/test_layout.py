"""layout: the shape of the tree that the architecture asks for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pybible.server.cli.main import COMMANDS
from pybible.server.report.registry import ADDED, STDOUT

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("protos", "server", "agent")
LINES_AT_MOST = 500
FUNCTION_LINES_AT_MOST = 60


def _sources() -> list[Path]:
    found = [path for root in (*SOURCE_ROOTS, "tests") for path in (ROOT / root).rglob("*.py")]
    # What lies in a conformance playbook's folder is a user's, not ours.
    return [path for path in found if "_pb2" not in path.name and "playbooks" not in path.parts]


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_pybible_is_a_namespace_package_in_every_root(root: str) -> None:
    assert (ROOT / root / "pybible").is_dir()
    assert not (ROOT / root / "pybible" / "__init__.py").exists(), "it would hide the other roots"


@pytest.mark.parametrize("package", ["v1", "wire", "server", "agent"])
def test_every_part_of_the_namespace_can_be_imported(package: str) -> None:
    __import__(f"pybible.{package}")


def test_every_file_says_what_it_is_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in _sources() if not _docstring(path)]
    assert silent == []


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = [str(path.relative_to(ROOT)) for path in _sources() if len(path.read_text().splitlines()) > LINES_AT_MOST]
    assert long == []


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_LINES_AT_MOST
    ]
    assert long == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
    assert [str(path.relative_to(ROOT)) for path in _sources() if path.stem in vague] == []


def test_every_module_is_imported_by_something() -> None:
    sources = [path for root in SOURCE_ROOTS for path in (ROOT / root).rglob("*.py") if "_pb2" not in path.name]
    started = set(re.findall(r"pybible(?:\.\w+)+", (ROOT / "pyproject.toml").read_text()))
    by_command = {f"pybible.server.cli.{module}" for module, _help in COMMANDS.values()}
    by_callback = {f"pybible.server.report.{module}" for module, _name in (*STDOUT.values(), *ADDED.values())}
    imported = started.union(by_command, by_callback, *map(_names_in, sources))
    found_by_name = {"migrations", "versions", "modules", "facts"}
    lonely = [
        str(path.relative_to(ROOT))
        for path in sources
        if path.stem not in {"__init__", "__main__"}
        and not found_by_name & set(path.parts)
        and _module_name(path) not in imported
    ]
    assert lonely == [], "nothing imports these: delete them"


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[parts.index("pybible") :])


def _names_in(path: Path) -> set[str]:
    """Every module that a file imports, or names in a text (as for `python -m`)."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names |= set(re.findall(r"pybible(?:\.\w+)+", node.value))
    return names


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text())) or ""
