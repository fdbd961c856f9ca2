"""test_renewals: certificates end and authorities change under real agents, and no task fails of it."""

from __future__ import annotations

import pytest

from tests.load.renewals import measure

pytestmark = pytest.mark.e2e


def test_no_task_fails_while_all_certificates_are_renewed() -> None:
    assert measure(agents=2, lifetime=12, seconds=18)
