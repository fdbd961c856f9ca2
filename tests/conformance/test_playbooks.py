"""test_playbooks: pybible does what ansible-core did when it was recorded (`make conformance` records)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.harness import Case, all_cases
from tests.conformance.record import pybible_transcript
from tests.support.lab import lab

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def controller() -> Iterator[str]:
    with lab(agents=1, prefix="local") as running:
        yield running.controller


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_a_playbook_does_what_ansible_core_did(case: Case, controller: str) -> None:
    assert pybible_transcript(case, controller) == case.record.read_text()
