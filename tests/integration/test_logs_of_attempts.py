"""test_logs_of_attempts: what the daemons log about an attempt names its run, its task and its host."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pybible.agent.attempts import Attempts, Lease
from pybible.agent.journal import Journal
from pybible.agent.policy import AllowAll
from pybible.server.controller.sessions.instructions import SessionState
from pybible.wire.logs import LineFormatter
from pybible.wire.tasks import TaskSpec
from tests.support.controller import controller
from tests.support.fake_agent import attached
from tests.support.fake_ctl import run
from tests.support.processes import until


def _line(caplog: pytest.LogCaptureFixture, message: str) -> str:
    """Return the one record with that message, as it is written."""
    [record] = [record for record in caplog.records if record.getMessage() == message]
    return LineFormatter().format(record)


@pytest.mark.parametrize("reason", ["lost_mid_task", "accept_timeout"])
async def test_an_attempt_that_ended_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture, reason: str) -> None:
    async with controller(tmp_path, disconnect_grace=0.0, accept_timeout=0.1) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit("web01", task_id="t7")
            dispatch = await agent.dispatch()
            if reason == "lost_mid_task":
                await agent.accept(dispatch)
                await agent.cut()
            else:
                for _ in range(4):
                    await agent.heartbeat()
            assert (await ctl.end_of(name)).reason == reason
            await ctl.finish()
    line = _line(caplog, "an attempt ended without its module's result")
    for word in (f"run_id={ctl.run_id}", "task_id=t7", "host=web01", "agent=web01", f"reason={reason}"):
        assert f" {word}" in line
    assert f" attempt_id={dispatch.attempt_id}" in line


async def test_a_timer_of_one_agent_names_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with controller(tmp_path, disconnect_grace=0.05) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, grace=30) as ctl:
            await ctl.submit("web01")
            await agent.dispatch()
            await agent.cut()
            await until(lambda: c.controller._parts.sessions.states()[SessionState.LOST] == 1)
            await ctl.gone()
    lines = [LineFormatter().format(each) for each in caplog.records if each.getMessage() == "agent changed state"]
    assert [line for line in lines if "state=lost" in line]
    assert not [line for line in lines if "run_id=" in line]


async def test_a_task_that_its_host_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    attempts = Attempts(journal=Journal(tmp_path), policy=AllowAll(), lease=Lease(), queue=1)
    attempts.dispatch("run1:a1", TaskSpec(module="ping", args=b"{}"), stale=True, task_id="t7")
    attempts.close()
    line = _line(caplog, "task refused")
    for word in ("run_id=run1", "attempt_id=run1:a1", "task_id=t7", "module=ping", "reason=stale_epoch"):
        assert f" {word}" in line
    assert attempts.refused.total() == 1
