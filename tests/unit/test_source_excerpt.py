"""errors: the lines of a file that an error points at."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.wire.errors import Origin, source_excerpt


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("a\n\nc: d\n", 3, 4, "1 a\n2\n3 c: d\n     ^ column 4"),
        ("a\n", 1, 0, "1 a"),
        ("\ta\r\n", 1, 1, "1  a\n  ^ column 1"),
        ("x" * 130, 1, 5, "1 " + "x" * 115 + "...\n      ^ column 5"),
        ("x" * 118, 1, 115, "1 " + "x" * 118 + "\n  " + " " * 103 + "column 115 ^"),
        ("x" * 130, 1, 125, "1 " + "x" * 115 + "..."),
        ("\n".join("abcdefghijk"), 10, 1, " 8 h\n 9 i\n10 j\n   ^ column 1"),
        ("$ANSIBLE_VAULT;1.1;AES256\n61", 2, 1, "(source not shown: content encrypted)"),
        ("a", 5, 1, "(source not shown: file truncated)"),
        ("a: [\n", 2, 1, "(source not shown: file truncated)"),
        ("a", 0, 0, ""),
    ],
)
def test_an_excerpt_is_numbered_and_has_a_caret(
    tmp_path: Path, text: str, line: int, column: int, expected: str
) -> None:
    path = tmp_path / "f.yml"
    path.write_bytes(text.encode())
    assert source_excerpt(Origin(str(path), line, column)) == expected


def test_a_file_that_is_not_there_has_no_excerpt(tmp_path: Path) -> None:
    assert source_excerpt(Origin(str(tmp_path / "nope"), 1, 1)) == ""
