"""test_controller_access: who may call what, over real TLS, on every port."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pybible.server.controller.services.access import ACCESS
from pybible.v1 import agent_pb2, agent_pb2_grpc, enrollment_pb2, enrollment_pb2_grpc, fleet_pb2, fleet_pb2_grpc
from pybible.wire.identity import JoinToken, OperatorRole
from pybible.wire.values import loads_object
from tests.support.controller import Holder, RunningController, controller, key_and_request

Ask = Callable[[grpc.aio.Channel], Awaitable[object]]


async def list_agents(channel: grpc.aio.Channel) -> fleet_pb2.ListAgentsResponse:
    return await fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest(), timeout=10)


async def refusal(channel: grpc.aio.Channel, ask: Ask = list_agents) -> grpc.aio.AioRpcError:
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel)
    return caught.value


def raw_call(channel: grpc.aio.Channel, method: str) -> Awaitable[bytes]:
    """Call any rpc with an empty message: access is decided before anything is read."""
    return channel.unary_unary(f"/{method}", request_serializer=bytes, response_deserializer=bytes)(b"", timeout=10)


def forged(holder: Holder, *, days: int = 1) -> Holder:
    """Return the same identity, certified by an authority of one's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    true = x509.load_pem_x509_certificate(holder.certificate)
    now = datetime.datetime.now(datetime.UTC)
    names = true.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(true.subject)
        .issuer_name(true.issuer)
        .serial_number(true.serial_number)
        .public_key(key.public_key())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(names, critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Holder(
        name=holder.name,
        key=pem,
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        authority=holder.authority,
    )


async def test_an_operator_may_ask_on_the_socket_and_with_a_certificate(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        operator = await running.enrol("alice", operator_role=OperatorRole.ADMIN)
        async with running.operator_channel() as local, running.channel(operator) as remote:
            assert (await list_agents(local)) == (await list_agents(remote))


async def test_at_the_port_of_others_nobody_may_call_anything_and_hears_where_to_go(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        agent, admin = await running.enrol("web01"), await running.enrol("alice", operator_role=OperatorRole.ADMIN)
        for holder, address, foreign, hint in (
            (agent, running.operator_address, "BlobService/Get", "an agent may not call %s on the operators' port"),
            (agent, running.operator_address, "AgentService/Attach", f"agents connect to {running.agent_address}"),
            (admin, running.agent_address, "BlobService/Get", "an admin may not call %s on the agents' port"),
            (admin, running.agent_address, "RunService/Execute", f"operators connect to {running.operator_address}"),
        ):
            async with running.channel(holder, address=address) as channel:
                for method in ACCESS:
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await raw_call(channel, method)
                    assert caught.value.code() in {
                        grpc.StatusCode.PERMISSION_DENIED,
                        grpc.StatusCode.UNIMPLEMENTED,
                    }, method
                    if method.endswith(foreign):
                        assert hint.replace("%s", method) in str(caught.value.details())
        await running.controller._parts.history.flush()
        async with running.operator_channel() as channel:
            answer = await fleet_pb2_grpc.FleetServiceStub(channel).ListAudit(fleet_pb2.ListAuditRequest())
        noted = [loads_object(each)["entry"] for each in answer.records]
        tried = {(each["actor"]["role"], each["target"]) for each in noted if not each["allowed"]}
        assert {("agent", "pybible.v1.AgentService/Attach"), ("admin", "pybible.v1.RunService/Execute")} <= tried


async def test_where_operators_come_to_the_socket_alone_there_is_no_port_for_them(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token(operator_role=OperatorRole.ADMIN)
        alice = await running.enrol("alice", operator_role=OperatorRole.ADMIN)
        assert running.operator_address
    async with controller(tmp_path, operators_listen="") as running:
        assert running.operator_address == ""
        error = await refusal(running.channel(alice, address=running.agent_address))
        assert "this controller has no port for operators" in str(error.details())
        answer = await running.ask_to_enrol(token, csr=key_and_request()[1], name="bob")
        assert answer.state == enrollment_pb2.EnrollResponse.STATE_DENIED
        assert "this controller has no port for operators" in answer.message
        async with running.operator_channel() as channel:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError, match="An admin opens one with operators_listen"):
                await stub.CreateToken(fleet_pb2.CreateTokenRequest(role=OperatorRole.RUNNER))
    async with controller(tmp_path) as running:
        # The token kept its use.
        assert (await running.enrol("bob", token=token)).name == "bob"


async def test_an_agent_renews_its_certificate_and_uses_both(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        agent = await running.enrol("web01")
        key, csr = key_and_request()
        async with running.channel(agent) as channel:
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            renewed = await stub.RenewCertificate(agent_pb2.RenewCertificateRequest(csr=csr))
        new = replace(agent, key=key, certificate=renewed.certificate)
        assert new.identity == agent.identity
        for holder in (agent, new):
            async with running.channel(holder) as channel:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())


async def test_a_revoked_agent_is_refused_on_a_connection_that_it_has_already(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        agent = await running.enrol("web01")
        async with running.channel(agent) as channel, running.operator_channel() as operators:
            health = health_pb2_grpc.HealthStub(channel)
            answer = await health.Check(health_pb2.HealthCheckRequest(service="pybible.v1.BlobService"))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING

            fleet = fleet_pb2_grpc.FleetServiceStub(operators)
            await fleet.RemoveAgent(fleet_pb2.RemoveAgentRequest(agent="web01"))

            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await health.Check(health_pb2.HealthCheckRequest(service="pybible.v1.BlobService"))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "revoked" in (caught.value.details() or "")
            assert not (await list_agents(operators)).agents
        # The name is free again.
        assert (await running.enrol("web01")).identity != agent.identity


async def test_a_certificate_of_another_authority_does_not_get_in(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        operator = await running.enrol("alice", operator_role=OperatorRole.ADMIN)
        error = await refusal(running.channel(forged(operator)))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_has_expired_does_not_get_in(tmp_path: Path) -> None:
    async with controller(tmp_path, operator_certificate_ttl=0.5) as running:
        # Whole seconds count in a certificate: this one has ended when it is issued.
        operator = await running.enrol("alice", operator_role=OperatorRole.ADMIN)
        error = await refusal(running.channel(operator))
        assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED}


async def test_a_client_that_trusts_another_authority_refuses_the_controller(tmp_path: Path) -> None:
    async with controller(tmp_path / "a") as one, controller(tmp_path / "b") as other:
        stranger = await other.enrol("alice", operator_role=OperatorRole.ADMIN)
        error = await refusal(one.channel(stranger))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_nothing_but_enrolment_is_on_the_enrolment_port(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.enrollment_channel() as channel:
        for method in ACCESS:
            if "EnrollmentService" in method:
                continue
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await raw_call(channel, method)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, method


async def test_enrolment_is_not_on_the_other_ports(tmp_path: Path) -> None:
    async def enrol(channel: grpc.aio.Channel) -> object:
        stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        return await stub.Enroll(enrollment_pb2.EnrollRequest(csr=key_and_request()[1]))

    async with controller(tmp_path) as running:
        agent = await running.enrol("web01")
        for channel in (running.operator_channel(), running.channel(agent)):
            assert (await refusal(channel, enrol)).code() is grpc.StatusCode.UNIMPLEMENTED


async def services(running: RunningController) -> set[str]:
    async with running.operator_channel() as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(timeout=10)
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        await call.done_writing()
    return {service.name for service in answer.list_services_response.service}


async def test_reflection_on_the_socket_names_the_services(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        assert {"pybible.v1.FleetService", "pybible.v1.BlobService", "grpc.health.v1.Health"} <= await services(running)


async def test_health_names_each_service_and_no_other(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in (await services(running)) - {
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }:
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="pybible.v1.NoSuchService"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_get_controller_says_where_it_is(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        answer = await fleet_pb2_grpc.FleetServiceStub(channel).GetController(fleet_pb2.GetControllerRequest())
        assert (answer.agent_address, answer.enrollment_address) == (running.agent_address, running.enroll_address)
        assert answer.operator_address == running.operator_address
        assert answer.version


async def test_an_agent_nobody_knows_is_not_found(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        for call in (
            fleet.GetAgent(fleet_pb2.GetAgentRequest(agent="web99")),
            fleet.RemoveAgent(fleet_pb2.RemoveAgentRequest(agent="web99")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            assert caught.value.details() == "no agent is enrolled as 'web99'"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (fleet_pb2.CreateTokenRequest(role="king"), "'king' is not a role"),
        (fleet_pb2.CreateTokenRequest(role="controller"), "'controller' is not a role"),
        (fleet_pb2.CreateTokenRequest(name_pattern="a b"), "can't be a host's name"),
    ],
    ids=["unknown role", "controller", "bad name"],
)
async def test_a_token_that_can_not_be_is_refused(
    tmp_path: Path, request_: fleet_pb2.CreateTokenRequest, message: str
) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await fleet_pb2_grpc.FleetServiceStub(channel).CreateToken(request_)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert message in (caught.value.details() or "")


async def test_tokens_are_listed_without_their_secrets(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        made = await fleet.CreateToken(fleet_pb2.CreateTokenRequest(uses=3, name_pattern="web*", labels={"a": "b"}))
        await running.enrol("web01", token=made.token)
        (listed,) = (await fleet.ListTokens(fleet_pb2.ListTokensRequest())).tokens
        assert (listed.uses_left, listed.name_pattern, dict(listed.labels), listed.role) == (
            2,
            "web*",
            {"a": "b"},
            "agent",
        )
        assert listed.expires.seconds - listed.created.seconds == 3600
    secret = JoinToken.decode(made.token).secret.encode()
    assert not any(secret in content for content in contents(tmp_path))


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
