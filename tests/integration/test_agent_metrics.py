"""test_agent_metrics: the file that a real agent writes for a monitoring system."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pybible.agent.metrics import CATALOG
from pybible.wire.identity import OperatorRole
from tests.integration.test_agent_with_controller import attached, joined
from tests.support.agent import running_agent
from tests.support.controller import controller
from tests.support.fake_ctl import run
from tests.support.processes import until


def _values(path: Path) -> dict[str, float]:
    """Return every sample by its name and the value of its label: "name value"."""
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


async def _when(path: Path, true: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Return the values once they are such."""
    seen: dict[str, float] = {}

    def is_so() -> bool:
        seen.update(_values(path) if path.exists() else {})
        return bool(seen) and true(seen)

    await until(is_so)
    return seen


async def test_an_agent_says_how_it_is_and_what_it_did(tmp_path: Path) -> None:
    path = tmp_path / "collector" / "pybible_agent.prom"
    path.parent.mkdir()
    async with controller(tmp_path) as c:
        folder = await joined(c, tmp_path / "web01")
        ada = await c.enrol("ada", operator_role=OperatorRole.ADMIN)
        async with running_agent(folder, metrics_file=str(path), metrics_interval=0.1, slots=3) as agent:
            await attached(c)
            async with run(c, operator=ada) as ctl:
                names = await ctl.submit("web01", "web01", module="ping")
                names += await ctl.submit("web01", module="command", args={"argv": ["sleep", "60"]}, timeout=0.2)
                for name in names:
                    await ctl.end_of(name)
                await ctl.finish()
            values = await _when(path, lambda found: not found["pybible_agent_unacknowledged_attempts"])
            agent.process.terminate()
            await agent.ended()
    assert values["pybible_agent_attached"] == values["pybible_agent_sessions_total"] == 1
    assert values["pybible_agent_dials_total"] >= 1
    assert values["pybible_agent_slots"] == 3
    assert values["pybible_agent_running_tasks"] == values["pybible_agent_waiting_tasks"] == 0
    assert values["pybible_agent_attempts_total "] == 2
    assert values["pybible_agent_attempts_total timed_out"] == 1
    assert values["pybible_agent_process_resident_memory_bytes"] > 1_000_000
    assert (
        values["pybible_agent_certificate_expiry_timestamp_seconds"] > values["pybible_agent_written_timestamp_seconds"]
    )
    # What it said is not true any more, and nothing else was left there.
    assert list(path.parent.iterdir()) == []


async def test_an_agent_without_a_controller_says_so(tmp_path: Path) -> None:
    path = tmp_path / "pybible_agent.prom"
    async with controller(tmp_path) as c:
        folder = await joined(c, tmp_path / "web01")
    async with running_agent(folder, metrics_file=str(path), metrics_interval=0.1):
        values = await _when(path, lambda found: found["pybible_agent_dials_total"] >= 2)
        assert path.stat().st_mode & 0o777 == 0o644
        families = {family.name: family for family in text_string_to_metric_families(path.read_text())}
    assert values["pybible_agent_attached"] == values["pybible_agent_sessions_total"] == 0
    assert {name: family.type for name, family in families.items()} == {
        name.removesuffix("_total"): kind for name, (kind, _, _) in CATALOG.items()
    }
    for name, (kind, meaning, label) in CATALOG.items():
        family = families[name.removesuffix("_total")]
        assert family.documentation == meaning
        assert name.endswith("_total") == (kind == "counter")
        assert all(set(sample.labels) == ({label} if label else set()) for sample in family.samples)
        assert re.fullmatch(r"pybible_agent_[a-z_]+", name)


async def test_a_folder_that_is_not_there_costs_a_line_and_no_more(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        folder = await joined(c, tmp_path / "web01")
        path = tmp_path / "missing" / "pybible_agent.prom"
        async with running_agent(folder, metrics_file=str(path), metrics_interval=0.1) as agent:
            await attached(c)
            await asyncio.sleep(0.3)
            assert agent.log.read_text().count("metrics are not written") == 1
