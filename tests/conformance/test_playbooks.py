"""test_playbooks: pybible does what ansible-core did when it was recorded (`make conformance` records)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.conformance.harness import Call, Case, all_cases
from tests.conformance.record import pybible_transcript
from tests.conformance.warm_commands import WarmCommand, surroundings
from tests.support.lab import lab

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def controller() -> Iterator[str]:
    with lab(agents=1, prefix="local") as running:
        yield running.controller


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Call]:
    """Give what runs a command line of pybible-ctl in a fork: to import it hundreds of times takes minutes."""
    place = tmp_path_factory.mktemp("warm")
    with WarmCommand("pybible-ctl", sys.executable, directory=place, environment=surroundings(place)) as warm:

        def forked(line: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
            assert line[0] == "pybible-ctl"
            status, screen, _ = warm.call(line[1:], directory=folder, environment=environment, merged=True)
            return status, screen

        yield forked


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_a_playbook_does_what_ansible_core_did(case: Case, controller: str, call: Call) -> None:
    assert pybible_transcript(case, controller, call) == case.record.read_text()
