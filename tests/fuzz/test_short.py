"""test_short: each target for a moment, always with the same examples; `python -m tests.fuzz` runs them for long."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.hunt import hunt
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_that_others_write_does_harm(name: str, tmp_path: Path) -> None:
    outcome = hunt(TARGETS[name], tmp_path)
    assert not outcome.findings, "\n".join(outcome.findings.values())
    assert outcome.examples >= TARGETS[name].examples // 2
