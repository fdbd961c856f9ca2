"""test_lineinfile: the edit, text in and text out."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from pybible.agent.modules.lineinfile import Args, put, remove

LINE = st.text(alphabet="ab= #", max_size=4)
LINES = st.lists(LINE, max_size=6).map(lambda lines: [f"{line}\n".encode() for line in lines])
PLACE = st.sampled_from([None, "EOF", "BOF", "a", "^b", "nothing"])


def wanted(line: str, **more: object) -> Args:
    values: dict[str, object] = {"path": "/x", "line": line, **more}
    return Args(**values)  # type: ignore[arg-type]


@settings(deadline=None)
@given(LINES, LINE, PLACE, PLACE, st.booleans())
def test_a_line_that_was_put_is_there_and_stays_put(
    lines: list[bytes], line: str, after: str | None, before: str | None, first: bool
) -> None:
    args = wanted(line, insertafter=after if before is None else None, insertbefore=before, firstmatch=first)
    edit = put(lines, args)
    assert f"{line}\n".encode() in edit.lines
    assert put(edit.lines, args).lines == edit.lines


@settings(deadline=None)
@given(LINES, LINE, PLACE)
def test_no_other_line_is_lost_or_changed(lines: list[bytes], line: str, after: str | None) -> None:
    edit = put(lines, wanted(line, insertafter=after))
    rest = list(edit.lines)
    if edit.msg == "line added":
        rest.remove(f"{line}\n".encode())
    assert rest == lines


@settings(deadline=None)
@given(LINES, LINE, st.sampled_from(["a", "^b", "=$", "^$"]), st.booleans())
def test_a_pattern_replaces_one_line_or_adds_one(lines: list[bytes], line: str, regexp: str, first: bool) -> None:
    edit = put(lines, wanted(line, regexp=regexp, firstmatch=first))
    matching = [index for index, old in enumerate(lines) if re.search(regexp.encode(), old)]
    if not matching:
        assert len(edit.lines) - len(lines) in (0, 1)
        return
    assert len(edit.lines) == len(lines)
    chosen = matching[0] if first else matching[-1]
    assert edit.lines[chosen] == f"{line}\n".encode()
    assert [old for index, old in enumerate(edit.lines) if index != chosen] == [
        old for index, old in enumerate(lines) if index != chosen
    ]


@settings(deadline=None)
@given(LINES, st.sampled_from(["a", "^b", "=$", "^$"]))
def test_what_was_removed_is_gone_and_counted(lines: list[bytes], regexp: str) -> None:
    args = Args(path="/x", regexp=regexp, state="absent")
    edit = remove(lines, args)
    assert not [line for line in edit.lines if re.search(regexp.encode(), line)]
    assert edit.found == len(lines) - len(edit.lines)
    assert edit.msg == (f"{edit.found} line(s) removed" if edit.found else "")
    assert remove(edit.lines, args).found == 0


@settings(deadline=None)
@given(LINES, LINE)
def test_a_back_reference_without_a_match_changes_nothing(lines: list[bytes], line: str) -> None:
    assert put(lines, wanted(line, regexp="(nothing)", backrefs=True)).lines == lines


def test_a_last_line_without_an_end_gets_one_before_another_follows() -> None:
    assert put([b"one\n", b"two"], wanted("three")).lines == [b"one\n", b"two\n", b"three\n"]
    # The stock module joins the two lines here.
    assert put([b"one\n", b"two"], wanted("three", insertafter="two")).lines == [b"one\n", b"two\n", b"three\n"]


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert put([b"\xff\xfe\n"], wanted("x")).lines == [b"\xff\xfe\n", b"x\n"]
