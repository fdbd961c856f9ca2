"""test_backup: a copy of the controller's state folder is the controller, on whatever machine; and what lacks in it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pybible.server.controller.sessions.instructions import SessionState
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import ConfigError
from tests.integration.test_agent_with_controller import joined
from tests.support.agent import running_agent
from tests.support.controller import RunningController, controller
from tests.support.fake_agent import attached
from tests.support.fake_ctl import run
from tests.support.processes import until


@asynccontextmanager
async def restored(tmp_path: Path, *, without: tuple[str, ...] = ()) -> AsyncIterator[RunningController]:
    """Run a controller from a copy of the one in `tmp_path`, at another address."""
    shutil.copytree(tmp_path / "controller", tmp_path / "copy" / "controller")
    for name in without:
        (tmp_path / "copy" / "controller" / "pki" / name).unlink()
    async with controller(tmp_path / "copy", listen="127.0.0.2:0", enroll_listen="127.0.0.2:0") as running:
        yield running


async def test_a_copy_serves_the_same_agents_at_another_address(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        folder = await joined(running, tmp_path / "web01")
        pin = running.controller.facts.authority_pin
        async with running_agent(folder):
            await _ping(running)
    async with restored(tmp_path) as running:
        assert running.controller.facts.authority_pin == pin
        assert running.agent_address.startswith("127.0.0.2:")
        async with running_agent(folder, controller=running.agent_address):
            await _ping(running)


async def test_without_the_roots_key_all_works_but_rotation(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        web = await running.enrol("web01")
    async with restored(tmp_path, without=("root.key",)) as running:
        async with attached(running, web):
            pass
        await running.enrol("web02")
        async with running.operator_channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="needs the root's key"):
                await fleet_pb2_grpc.FleetServiceStub(channel).RotateAuthority(fleet_pb2.RotateAuthorityRequest())


async def test_without_the_issuing_authority_the_root_makes_another(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        web = await running.enrol("web01")
    async with restored(tmp_path, without=("issuing.pem", "server.pem")) as running:
        async with attached(running, web) as agent:
            # What the lost one signed is good, and is replaced.
            await agent.next("renew_certificate")
        await running.enrol("web02")


async def test_without_both_nothing_can_be_signed(tmp_path: Path) -> None:
    async with controller(tmp_path):
        pass
    with pytest.raises(ConfigError, match=r"issuing\.pem is missing, and so is the root's key"):
        async with restored(tmp_path, without=("issuing.pem", "root.key")):
            pass


async def test_what_happened_after_the_copy_did_not_happen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with controller(tmp_path) as running:
        web, gone = await running.enrol("web01"), await running.enrol("web02")
    shutil.copytree(tmp_path / "controller", tmp_path / "backup")
    async with controller(tmp_path) as running:
        newer = await running.renew(web)
        async with running.operator_channel() as channel:
            await fleet_pb2_grpc.FleetServiceStub(channel).RevokeAgent(fleet_pb2.RevokeAgentRequest(agent="web02"))
    shutil.rmtree(tmp_path / "controller")
    (tmp_path / "backup").rename(tmp_path / "controller")
    async with controller(tmp_path) as running:
        async with attached(running, web), attached(running, gone):
            pass
        with pytest.raises(grpc.aio.AioRpcError, match="or later than the backup that this controller was restored"):
            await running.renew(newer)
    [refused] = [each for each in caplog.records if each.message == "a caller is refused"]
    assert newer.identity.uri in str(refused.__dict__)


async def _ping(running: RunningController) -> None:
    sessions = running.controller._parts.sessions
    await until(lambda: any(each.state is SessionState.READY for each in sessions.statuses().values()))
    async with run(running) as ctl:
        [task] = await ctl.submit("web01")
        assert (await ctl.result_of(task))["ping"] == "pong"
        await ctl.finish()
