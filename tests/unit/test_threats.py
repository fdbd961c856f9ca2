"""test_threats: each test that the page of threats names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "threats.md"
_NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def _tests_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    named = set(_NAMED.findall(PAGE.read_text()))
    there = {file: _tests_in(TESTS / file) for file, _ in named if (TESTS / file).is_file()}
    assert sorted(f"{file}::{name}" for file, name in named if name not in there.get(file, ())) == []


def test_every_claim_names_a_test() -> None:
    tables = re.findall(r"\| claim \| shown by \|\n\|---\|---\|\n((?:\|.*\|\n)+)", PAGE.read_text())
    claims = [row for table in tables for row in table.splitlines()]
    assert claims
    assert [row for row in claims if not _NAMED.search(row)] == []
