"""test_enrolment: a host without a certificate gets one, or a clear answer why not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from pybible.v1 import enrollment_pb2, enrollment_pb2_grpc, fleet_pb2, fleet_pb2_grpc
from pybible.wire.channel import client_credentials, client_options
from pybible.wire.identity import JoinToken, OperatorRole, Role, public_key_pin
from tests.support.controller import RunningController, controller, key_and_request

DENIED = enrollment_pb2.EnrollResponse.STATE_DENIED
ISSUED = enrollment_pb2.EnrollResponse.STATE_ISSUED


async def agents(running: RunningController) -> list[fleet_pb2.Agent]:
    async with running.operator_channel() as channel:
        return list((await fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest())).agents)


async def test_a_host_with_a_token_gets_a_client_certificate_for_a_week(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("web01")

        certificate = x509.load_pem_x509_certificate(holder.certificate)
        assert holder.identity.role is Role.AGENT
        assert holder.name == "web01"
        assert timedelta(days=6.9) < certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < timedelta(days=7.1)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        (agent,) = await agents(running)
        assert (agent.name, agent.agent_id) == ("web01", holder.identity.id)
        assert agent.state == fleet_pb2.SESSION_STATE_OFFLINE
        assert agent.certificate_expires.ToDatetime().year >= 2024


async def test_the_pin_in_the_token_is_that_of_the_authority_which_answers(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = JoinToken.decode(await running.controller.create_token())
        assert token.address == running.enroll_address
        async with running.enrollment_channel() as channel:
            stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
            response = await stub.GetAuthority(enrollment_pb2.GetAuthorityRequest())
        assert public_key_pin(x509.load_pem_x509_certificate(response.authority)) == token.pin


async def test_a_one_use_token_is_refused_the_second_time(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token()
        await running.enrol("web01", token=token)

        second = await running.ask_to_enrol(token, csr=key_and_request()[1], name="web02")

        assert (second.state, second.message) == (DENIED, "the join token has been used up")
        assert not second.certificate
        assert [agent.name for agent in await agents(running)] == ["web01"]


async def test_of_many_that_use_a_one_use_token_at_once_one_gets_in(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token()
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(running.ask_to_enrol(token, csr=key_and_request()[1], name=f"web{number}"))
                for number in range(8)
            ]
        states = [task.result().state for task in asked]
        assert (states.count(ISSUED), states.count(DENIED)) == (1, 7)
        assert len(await agents(running)) == 1


async def test_of_many_that_want_a_name_at_once_one_gets_it(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token(uses=8)
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(running.ask_to_enrol(token, csr=key_and_request()[1], name="web01")) for _ in range(8)
            ]
        states = [task.result().state for task in asked]
        assert (states.count(ISSUED), states.count(DENIED)) == (1, 7)


async def test_a_token_that_has_expired_is_refused(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token(ttl=0.000001)
        response = await running.ask_to_enrol(token, csr=key_and_request()[1])
        assert (response.state, response.message) == (DENIED, "the join token has expired")


async def test_a_token_that_was_revoked_is_refused(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        made = await fleet.CreateToken(fleet_pb2.CreateTokenRequest())
        await fleet.RevokeToken(fleet_pb2.RevokeTokenRequest(token_id=made.description.token_id))
        response = await running.ask_to_enrol(made.token, csr=key_and_request()[1])
        assert (response.state, response.message) == (DENIED, "the join token was revoked")


async def test_a_name_that_is_taken_is_refused_and_the_token_keeps_its_use(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        await running.enrol("web01")
        token = await running.controller.create_token()

        refused = await running.ask_to_enrol(token, csr=key_and_request()[1], name="web01")
        assert refused.state == DENIED
        assert "the name web01 belongs to another agent" in refused.message

        assert (await running.ask_to_enrol(token, csr=key_and_request()[1], name="web02")).state == ISSUED


async def test_a_token_for_a_pattern_binds_only_names_that_match(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token(name_pattern="web*")
        refused = await running.ask_to_enrol(token, csr=key_and_request()[1], name="db01")
        assert refused.message == "the join token is not for the name db01, but for web*"
        assert (await running.enrol("web07", token=token)).name == "web07"


async def test_labels_of_a_token_are_put_on_its_agents(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token(labels={"site": "north"}, uses=2)
        await running.enrol("web01", token=token)
        await running.enrol("web02", token=token)
        assert [dict(agent.labels) for agent in await agents(running)] == [{"site": "north"}] * 2


async def test_a_certificate_request_over_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token()
        csr = key_and_request(ec.generate_private_key(ec.SECP384R1()))[1]
        response = await running.ask_to_enrol(token, csr=csr)
        assert (response.state, response.message) == (DENIED, "the certificate request must be over an EC P-256 key")


async def test_a_guesser_of_tokens_is_slowed_down(tmp_path: Path) -> None:
    async with controller(tmp_path, enroll_rate=1.0) as running:
        csr = key_and_request()[1]
        wrong = JoinToken(address="x", pin="y", secret="guess").encode()
        response = await running.ask_to_enrol(wrong, csr=csr)
        assert response.message == "this controller does not know that join token"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.ask_to_enrol(wrong, csr=csr)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_what_was_enrolled_is_known_after_a_restart(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("web01")
        operator = await running.enrol("alice", operator_role=OperatorRole.ADMIN)
    async with controller(tmp_path) as running:
        async with running.channel(operator) as channel:
            listed = await fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest())
        assert [agent.agent_id for agent in listed.agents] == [holder.identity.id]


async def test_the_agents_port_takes_nobody_without_a_certificate(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        credentials = client_credentials(authority=running.controller.authority_pem)
        async with grpc.aio.secure_channel(running.agent_address, credentials, options=client_options()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest(), timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
