"""test_revocation: who is shut out is out at once, and stays out; a host that was built anew takes over its name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.pki.authority import open_authority
from pybible.server.controller.pki.enrolment import Enrolment, EnrolmentRefused, EnrolmentRequest, TokenRequest
from pybible.server.controller.store.database import open_database
from pybible.server.controller.store.engine import sqlite_url
from pybible.v1 import enrollment_pb2, fleet_pb2, fleet_pb2_grpc, run_pb2
from pybible.wire.identity import OperatorRole
from tests.support.controller import Holder, RunningController, controller, key_and_request
from tests.support.fake_agent import PATIENCE, FakeAgent, attached
from tests.support.fake_ctl import run

REVOKED = "is revoked, or was never issued here"


async def refused(running: RunningController, holder: Holder) -> str:
    """Return how a caller with that certificate is turned away."""
    async with running.channel(holder) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest())
    return caught.value.details() or ""


async def revoke(running: RunningController, agent: str) -> None:
    async with running.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        await stub.RevokeAgent(fleet_pb2.RevokeAgentRequest(agent=agent))


async def test_a_revoked_agent_is_out_and_stays_out(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("web01")
        async with attached(running, holder) as agent, run(running, grace=10 * PATIENCE) as ctl:
            [name] = await ctl.submit("web01")
            await agent.accept(await agent.dispatch())
            await revoke(running, "web01")
            async with asyncio.timeout(PATIENCE):
                await agent.ended.wait()
            assert (await ctl.end_of(name)).reason == "lost_mid_task"
            [name] = await ctl.submit("web01")
            assert (await ctl.end_of(name)).unreachable
        assert REVOKED in await refused(running, holder)
        # The name is not free.
        answer = await running.ask_to_enrol(
            await running.controller.create_token(), csr=key_and_request()[1], name="web01"
        )
        assert answer.state == enrollment_pb2.EnrollResponse.STATE_DENIED
    async with controller(tmp_path) as running:
        assert REVOKED in await refused(running, holder)


async def test_an_agent_that_is_revoked_before_its_hello_gets_no_session(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("web01")
        async with running.channel(holder) as channel:
            agent = FakeAgent(channel, incarnation="one")
            # Its Attach is known to the controller once a later call of the same connection has been answered.
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            await revoke(running, "web01")
            await agent.hello()
            async with asyncio.timeout(PATIENCE):
                await agent.read()
            assert not agent.waiting("welcome")
        async with running.operator_channel() as channel:
            listed = await fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest())
        assert [each.state for each in listed.agents] == [fleet_pb2.SESSION_STATE_OFFLINE]


async def test_an_agent_that_is_revoked_while_it_renews_gets_no_certificate(tmp_path: Path) -> None:
    async with open_database(sqlite_url(tmp_path / "store.db")) as database:
        allowed = AllowedCertificates()
        enrolment = Enrolment(database=database, authority=open_authority(tmp_path / "pki"), allowed=allowed)
        secret, _ = await enrolment.create_token(TokenRequest())
        request = EnrolmentRequest(secret=secret, csr=key_and_request()[1], name="web01")
        agent = (await enrolment.enrol(request)).identity
        await enrolment.renew(agent, key_and_request()[1])
        await enrolment.revoke_agent("web01")
        with pytest.raises(EnrolmentRefused, match="revoked"):
            await enrolment.renew(agent, key_and_request()[1])
        assert allowed.expiry(agent) is None


async def test_a_host_that_was_built_anew_takes_over(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        old = await running.enrol("web01")
        async with attached(running, old) as agent:
            async with running.operator_channel() as channel:
                stub = fleet_pb2_grpc.FleetServiceStub(channel)
                made = await stub.CreateToken(fleet_pb2.CreateTokenRequest(name_pattern="web01", replace=True))
            new = await running.enrol("web01", token=made.token)
            async with asyncio.timeout(PATIENCE):
                await agent.ended.wait()
        assert new.identity != old.identity
        assert REVOKED in await refused(running, old)
        async with attached(running, new) as agent, run(running) as ctl:
            [name] = await ctl.submit("web01")
            await agent.result((await agent.dispatch()).attempt_id)
            assert (await ctl.end_of(name)).reason == ""


async def test_a_token_that_replaces_is_for_one_name(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        for pattern in ("", "web*"):
            request = fleet_pb2.CreateTokenRequest(name_pattern=pattern, replace=True)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await fleet_pb2_grpc.FleetServiceStub(channel).CreateToken(request)
            assert caught.value.details() == "a token that replaces an agent must be for one name"


async def test_a_revoked_operator_is_out_with_all_that_he_runs(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        ada = await running.enrol("ada", operator_role=OperatorRole.RUNNER)
        bob = await running.enrol("bob", operator_role=OperatorRole.RUNNER)
        web = await running.enrol("web01")
        async with (
            attached(running, web) as agent,
            run(running, operator=ada) as ctl,
            run(running, operator=bob) as other,
            running.operator_channel() as channel,
        ):
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            listed = (await stub.ListOperators(fleet_pb2.ListOperatorsRequest())).operators
            assert [(each.name, each.role) for each in listed] == [("ada", "runner"), ("bob", "runner")]
            await ctl.submit("web01")
            dispatch = await agent.dispatch()
            await agent.accept(dispatch)
            answer = await stub.RevokeOperator(fleet_pb2.RevokeOperatorRequest(operator="ada"))
            assert answer.certificates == 1
            await agent.next("cancel")
            async with asyncio.timeout(PATIENCE):
                await ctl.cancelled.wait()
            await agent.result(dispatch.attempt_id, reason="cancelled")
            assert (await ctl.finish()).state == run_pb2.RUN_STATE_INTERRUPTED
            assert not other.cancelled.is_set()
            listed = (await stub.ListOperators(fleet_pb2.ListOperatorsRequest())).operators
            assert [each.name for each in listed] == ["bob"]
            await other.finish()
        assert REVOKED in await refused(running, ada)
        states = {each.operator: each.state for each in await running.runs()}
        assert states == {"ada": run_pb2.RUN_STATE_INTERRUPTED, "bob": run_pb2.RUN_STATE_FINISHED}
