"""test_many_attempts: seeded faults at the transitions, and what must hold afterwards: tests.load.chaos, short."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.load.chaos.campaign import Plan, run

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

# Without what takes long to be noticed.
SCRIPT = "fail=0.02,lag=0.03:0.2,disconnect=0.02:0.3,restart=0.02:0.3,late=0.002:3,twice=0.03"


async def test_nothing_is_lost_and_nothing_is_done_twice(tmp_path: Path) -> None:
    seed = os.environ.get("PYBIBLE_CHAOS_SEED", "6")
    print(f"PYBIBLE_CHAOS_SEED={seed}")  # noqa: T201  shown when it fails
    plan = Plan(
        attempts=2000, seed=seed, swarm=80, real=2, operators=8, recovery=4.0, controller_life=600, script=SCRIPT
    )
    found, happened = await run(plan, tmp_path, say=print)
    print(happened, found.reasons)  # noqa: T201
    assert found.wrong == []
    assert found.attempts - found.reasons["not_connected"] >= plan.attempts
    assert found.reasons["answered"] > 0
    assert any(what.startswith("network") for what in happened)
