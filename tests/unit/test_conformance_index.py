"""test_conformance_index: the index of the conformance cases is whole."""

from __future__ import annotations

import re

from tests.conformance.harness import CASES, all_cases


def _indexed() -> list[str]:
    lines = (CASES / "INDEX.md").read_text().partition("## Not yet")[0].splitlines()
    entries = [line.rpartition(": ")[2] for line in lines if line.startswith("- ")]
    return [name for entry in entries for name in re.findall(r"`([^`]+)`", entry)]


def test_every_case_is_in_the_index_once() -> None:
    assert sorted(_indexed()) == [case.name for case in all_cases()]


def test_every_case_has_a_record() -> None:
    assert [case.name for case in all_cases() if not case.record.exists()] == []
