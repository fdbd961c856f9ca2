"""test_module_cases: every native module is compared with its stock one, and foresees, and does not repeat itself."""

from __future__ import annotations

from typing import Any

import pytest

from pybible.agent.modules import registry
from tests.conformance import module_cases
from tests.conformance.module_cases import Case
from tests.conformance.module_reasons import PARTS, given, set_apart, shown, unneeded
from tests.conformance.module_sides import records
from tests.support import transcripts
from tests.support.reference import PAGES

# A second name of a module that has cases.
SAME = {"systemd_service": "systemd"}

CASES = [
    pytest.param(case, records(name)[case.name], id=f"{name}: {case.name}")
    for name in module_cases.names()
    for case in module_cases.load(name)
]


def _page() -> dict[str, str]:
    """Return the sections of the modules' reference, by the modules' names."""
    sections = (PAGES / "modules.md").read_text(encoding="utf-8").split("\n## ")[1:]
    return {name: text for name, _, text in (section.partition("\n") for section in sections)}


def test_every_native_module_has_cases_or_a_transcript_that_the_documentation_names() -> None:
    compared = {case.qualified for name in module_cases.names() for case in module_cases.load(name)}
    played = {case.module for name in transcripts.names() for case in transcripts.load(name)}
    page = _page()
    for module in {SAME.get(name, name) for name in registry.NAMES} - compared:
        assert module in played, f"{module} has neither cases in tests/conformance/modules nor a transcript"
        assert "Tested with transcripts" in page[module], (
            f"docs/reference/modules.md does not say how {module} is tested"
        )


@pytest.mark.parametrize(("case", "record"), CASES)
def test_what_a_stock_module_does_otherwise_in_check_mode_or_a_second_time_has_its_reason(
    case: Case, record: dict[str, Any]
) -> None:
    assert shown(case, record) <= given(case).keys()


@pytest.mark.parametrize("name", module_cases.names())
def test_each_reason_is_for_something_that_the_stock_module_did(name: str) -> None:
    cases = module_cases.load(name)
    asked = {case.name: shown(case, records(name)[case.name]) for case in cases}
    # Whether a part has to be set apart shows where both modules run.
    apart = {case.name: {what for what in given(case) if what.startswith("apart ")} for case in cases}
    assert unneeded(cases, {name: asked[name] | apart[name] for name in asked}) == []


@pytest.mark.parametrize(("case", "record"), CASES)
def test_what_is_set_apart_has_a_reason_and_is_in_no_record(case: Case, record: dict[str, Any]) -> None:
    assert case.apart.keys() | case.unsteady.keys() <= PARTS
    assert all((*case.apart.values(), *case.unsteady.values()))
    assert not set_apart(case) & record.keys()
