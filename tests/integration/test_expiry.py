"""test_expiry: whose certificate is not valid any more is out, whatever he began with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio

from pybible.v1 import agent_pb2, fleet_pb2, fleet_pb2_grpc, run_pb2, run_pb2_grpc
from pybible.wire.identity import OperatorRole
from tests.support.controller import controller
from tests.support.fake_agent import PATIENCE, attached
from tests.support.fake_ctl import run

# Seconds: not so short that a busy machine has not begun by then.
LIFETIME = 3.0


async def test_a_stream_and_a_run_end_with_the_certificates_that_they_began_with(tmp_path: Path) -> None:
    lifetimes = {"agent_certificate_ttl": LIFETIME, "operator_certificate_ttl": LIFETIME}
    async with controller(tmp_path, disconnect_grace=0.0, **lifetimes) as running:
        web = await running.enrol("web01")
        ada = await running.enrol("ada", operator_role=OperatorRole.RUNNER)
        async with attached(running, web) as agent, run(running, operator=ada) as ctl, run(running) as other:
            [name] = await other.submit("web01")
            await agent.accept(await agent.dispatch())
            deny = (await agent.next("deny")).deny
            assert deny.code == agent_pb2.Deny.CODE_EXPIRED
            assert "certificate has expired" in deny.message
            async with asyncio.timeout(PATIENCE):
                await agent.ended.wait()
                await ctl.cancelled.wait()
            assert (await other.end_of(name)).reason == "lost_mid_task"
            assert (await ctl.finish()).state == run_pb2.RUN_STATE_INTERRUPTED
            assert not other.cancelled.is_set()
            await other.finish()
        errors = {each.operator: each.error for each in await running.runs()}
    assert errors["ada"] == "the operator's certificate has expired"


async def test_who_is_revoked_before_his_run_begins_begins_none(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        ada = await running.enrol("ada", operator_role=OperatorRole.RUNNER)
        async with running.channel(ada) as channel, running.operator_channel() as admin:
            execute = run_pb2_grpc.RunServiceStub(channel).Execute()
            # His Execute is known to the controller once a later call of the same connection has been answered.
            await fleet_pb2_grpc.FleetServiceStub(channel).WhoAmI(fleet_pb2.WhoAmIRequest())
            stub = fleet_pb2_grpc.FleetServiceStub(admin)
            await stub.RevokeOperator(fleet_pb2.RevokeOperatorRequest(operator="ada"))
            await execute.write(run_pb2.ExecuteRequest(start=run_pb2.StartRun(name="site.yml")))
            async with asyncio.timeout(PATIENCE):
                assert await execute.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await running.runs() == []


async def test_who_is_revoked_sees_no_more_of_a_run(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        viewer = await running.enrol("vera", operator_role=OperatorRole.VIEWER)
        async with (
            run(running) as ctl,
            running.channel(viewer) as channel,
            running.operator_channel() as admin,
        ):
            watch = run_pb2_grpc.RunServiceStub(channel).WatchRun(run_pb2.WatchRunRequest(run_id=ctl.run_id))
            await ctl.publish(b'{"event":"first"}')
            async with asyncio.timeout(PATIENCE):
                assert isinstance(await watch.read(), run_pb2.WatchRunResponse)
            stub = fleet_pb2_grpc.FleetServiceStub(admin)
            await stub.RevokeOperator(fleet_pb2.RevokeOperatorRequest(operator="vera"))
            await ctl.publish(b'{"event":"second"}')
            async with asyncio.timeout(PATIENCE):
                assert await watch.code() is grpc.StatusCode.UNAUTHENTICATED
            await ctl.finish()
