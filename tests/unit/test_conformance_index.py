"""test_conformance_index: the index of the conformance cases is whole, and what its rows claim is in the cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from pybible.server.cli.ansible_keys import KEYS, NOTHING
from pybible.server.cli.run import command as run_command
from pybible.server.engine.parsing import keywords
from pybible.server.engine.templating.filters.registry import FILTERS
from pybible.server.engine.templating.lookups.registry import LOOKUPS
from pybible.server.engine.templating.tests.registry import TESTS
from tests.conformance.harness import CASES, RECORD, Case, all_cases

ROOT = CASES.parents[2]
_SPAN = re.compile(r"`([^`]+)`")
_CELL = re.compile(r"(?<!\\)\|")

# What the first cell of a table's heading says -> how the name in a row shows in the files of a case.
_USES: Mapping[str, str] = {
    "keyword": r"(?m)(?:^|[{{,\s-])[\"']?{name}[\"']?(?:\s*:(?:\s|$)|=)",
    "filter": r"\|\s*(?:ansible\.builtin\.)?{name}\b|map\(\s*['\"]+{name}['\"]",
    "test": r"\bis\s+(?:not\s+)?(?:ansible\.builtin\.)?{name}(?!\w)"
    r"|(?:select|reject)\(\s*['\"]+{name}['\"]|(?:selectattr|rejectattr)\([^)]*,\s*['\"]+{name}['\"]",
    "lookup": r"\b(?:lookup|query|q)\(\s*['\"]+{name}['\"]",
    "loop": r"\bwith_{name}\s*:",
    "function": r"(?<![\w.]){name}\(",
    "variable": r"(?<![\w.]){name}(?!\w)",
    "fact": r"(?<![\w-]){name}(?![\w-])",
    "action": r"meta: {name}\b",
    "option": r"(?m)(?:^|\s){name}(?=[\s=]|$)",
    "setting": r"(?m)^\s*{name}\s*=",
    "environment variable": r"(?m)(?:^|\s){name}=",
}
# ... and in which of its files, where not in any.
_PLACES: Mapping[str, Callable[[Path], bool]] = {
    "option": lambda path: path.name == "runs.txt",
    "environment variable": lambda path: path.name == "runs.txt",
    "setting": lambda path: path.suffix == ".cfg",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: what it claims, and the cases and tests that show it."""

    line: int
    kind: str
    what: str
    written: tuple[str, ...]
    seen: tuple[str, ...]
    cases: tuple[str, ...]
    tests: tuple[str, ...]


def _rows() -> Iterator[Row]:
    kind = ""
    for number, line in enumerate((CASES / "INDEX.md").read_text().splitlines(), 1):
        if not line.startswith("|"):
            kind = ""
            continue
        cells = [cell.strip().replace(r"\|", "|") for cell in _CELL.split(line)[1:-1]]
        if not kind:
            kind = cells[0]
        elif not set(line) <= set("|- "):
            yield _row(number, kind, cells)


def _row(line: int, kind: str, cells: list[str]) -> Row:
    shown = _SPAN.findall(cells[-1])
    written = seen = ()
    if kind == "what":
        written, seen = tuple(_SPAN.findall(cells[1])), tuple(_SPAN.findall(cells[2]))
    return Row(
        line=line,
        kind=kind,
        what=cells[0] if kind == "what" else _SPAN.findall(cells[0])[0],
        written=written,
        seen=seen,
        cases=tuple(name for name in shown if "/" not in name),
        tests=tuple(name for name in shown if "/" in name),
    )


ROWS = tuple(_rows())


def _named(kind: str) -> set[str]:
    return {row.what for row in ROWS if row.kind == kind}


@cache
def _files(case: str) -> tuple[tuple[Path, str], ...]:
    """Return the files of a case, as an operator would write them."""
    folder = Case(case).folder
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return tuple((path, path.read_text(errors="replace")) for path in paths if path.name != RECORD)


@cache
def _record(case: str) -> str:
    return Case(case).record.read_text()


def _claims(row: Row, case: str) -> Iterator[str]:
    """Yield what a row claims of a case and is not so."""
    if row.kind == "what":
        yield from (f"no {text!r} in its files" for text in row.written if not _written(case, text))
        yield from (f"no {text!r} on the screen" for text in row.seen if text not in _record(case))
    elif row.kind == "exit status":
        if f"[exit status {row.what}]" not in _record(case):
            yield f"no run ends with {row.what}"
    elif row.kind == "screen":
        if row.what not in _record(case):
            yield f"no {row.what!r} on the screen"
    elif not _used(row, case):
        yield f"the {row.kind} {row.what!r} is not used"


def _written(case: str, text: str) -> bool:
    return any(text in content or text in str(path.relative_to(Case(case).folder)) for path, content in _files(case))


def _used(row: Row, case: str) -> bool:
    pattern = re.compile(_USES[row.kind].format(name=re.escape(row.what)))
    is_place = _PLACES.get(row.kind)
    return any(pattern.search(content) for path, content in _files(case) if is_place is None or is_place(path))


def test_every_case_has_a_row_and_every_row_a_case_that_is_there() -> None:
    assert {case for row in ROWS for case in row.cases} == {case.name for case in all_cases()}


def test_every_case_has_a_record() -> None:
    assert [case.name for case in all_cases() if not case.record.exists()] == []


def test_the_index_has_the_sixteen_parts_of_the_language() -> None:
    parts = re.findall(r"(?m)^## (\d+)\. ", (CASES / "INDEX.md").read_text())
    assert [int(part) for part in parts] == list(range(1, 17))


def test_a_row_about_behaviour_says_what_to_look_for() -> None:
    assert [row.line for row in ROWS if row.kind == "what" and row.cases and not row.written + row.seen] == []


def test_every_row_is_shown_by_something() -> None:
    assert [row.line for row in ROWS if not row.cases and not row.tests] == []


@pytest.mark.parametrize("row", [row for row in ROWS if row.cases], ids=lambda row: f"{row.line}-{row.kind}")
def test_what_a_row_claims_is_in_its_cases(row: Row) -> None:
    assert {case: wrong for case in row.cases if (wrong := list(_claims(row, case)))} == {}


@pytest.mark.parametrize("row", [row for row in ROWS if row.tests], ids=lambda row: f"{row.line}-{row.kind}")
def test_the_tests_that_a_row_names_are_there(row: Row) -> None:
    for reference in row.tests:
        path, _, name = reference.partition("::")
        assert (ROOT / path).exists(), reference
        content = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        assert not name or f"def {name}(" in content, reference
        assert row.kind == "what" or row.kind == "exit status" or not content or row.what in content, reference


def _options() -> Iterable[str]:
    words = {word for parameter in run_command.params for word in parameter.opts if word.startswith("-")}
    return words - {"--controller", "--json", "--disconnect-grace", "--on-disconnect"}


def _of_keywords() -> Iterable[str]:
    tables = ("PLAY", "BLOCK", "TASK", "HANDLER", "ROLE", "IMPORT_PLAYBOOK", "LOOP_CONTROL")
    return {name for table in tables for name in getattr(keywords, table)}


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        ("keyword", _of_keywords()),
        ("filter", FILTERS),
        ("test", TESTS),
        ("lookup", LOOKUPS),
        ("loop", LOOKUPS),
        ("option", _options()),
        ("setting", [key for each in KEYS if each.meaning != NOTHING for _, key in each.ini]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_the_language_has_is_in_the_index(kind: str, known: Iterable[str]) -> None:
    assert sorted(set(known) - _named(kind)) == []
