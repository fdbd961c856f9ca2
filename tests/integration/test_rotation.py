"""test_rotation: one issuing authority follows another while agents are attached and runs go on."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509

from pybible.server.controller.pki import authority
from pybible.server.controller.pki.authority import sign_issuing
from pybible.v1 import agent_pb2, agent_pb2_grpc, fleet_pb2, fleet_pb2_grpc, run_pb2
from pybible.wire.identity import CONTROLLER_NAME, OperatorRole
from tests.support.controller import RunningController, controller
from tests.support.fake_agent import PATIENCE, attached
from tests.support.fake_ctl import run


async def described(running: RunningController) -> fleet_pb2.DescribeAuthorityResponse:
    async with running.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        return await stub.DescribeAuthority(fleet_pb2.DescribeAuthorityRequest())


async def rotate(running: RunningController, certificate: bytes = b"") -> fleet_pb2.RotateAuthorityResponse:
    async with running.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        return await stub.RotateAuthority(fleet_pb2.RotateAuthorityRequest(certificate=certificate))


async def retire(running: RunningController, serial: str = "", *, force: bool = False) -> int:
    async with running.operator_channel() as channel:
        request = fleet_pb2.RetireAuthorityRequest(serial=serial, force=force)
        return (await fleet_pb2_grpc.FleetServiceStub(channel).RetireAuthority(request)).shut_out


async def refusal(call: Callable[[], Awaitable[object]]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call()
    return caught.value.code(), caught.value.details() or ""


def shown_by(address: str, *, root: bytes) -> x509.Certificate:
    """Return the certificate that a port shows, once the root has vouched for it."""
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=root.decode())
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port))) as plain,
        context.wrap_socket(plain, server_hostname=CONTROLLER_NAME) as wrapped,
    ):
        certificate = wrapped.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate)


async def test_both_authorities_are_trusted_and_no_run_is_disturbed(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        old = await running.enrol("web01")
        before = await asyncio.to_thread(shown_by, running.enroll_address, root=old.authority)
        async with attached(running, old) as agent, run(running) as ctl:
            [name] = await ctl.submit("web01")
            dispatch = await agent.dispatch()
            await agent.accept(dispatch)
            answer = await rotate(running)
            assert answer.agents == 1
            # It is asked over its stream, which goes on as if nothing had been.
            await agent.next("renew_certificate")
            new = await running.renew(old)
            after = await asyncio.to_thread(shown_by, running.enroll_address, root=old.authority)
            assert after.issuer != before.issuer
            assert (await asyncio.to_thread(shown_by, running.enroll_address, root=old.authority)) == after
            leaf, issuing = x509.load_pem_x509_certificates(new.certificate)
            assert f"{issuing.serial_number:x}" == answer.serial
            assert leaf.issuer == after.issuer
            for holder in (old, new, await running.enrol("web02")):
                assert (await running.renew(holder)).identity == holder.identity
            await agent.result(dispatch.attempt_id)
            assert (await ctl.end_of(name)).reason == ""
            assert (await ctl.finish()).state == run_pb2.RUN_STATE_FINISHED


async def test_the_status_says_what_hangs_on_which_authority(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        web01, _web02 = await running.enrol("web01"), await running.enrol("web02")
        await running.enrol("ada", operator_role=OperatorRole.ADMIN)
        await rotate(running)
        await running.renew(web01)
        found = await described(running)
        assert [(each.signs, each.agents, each.operators) for each in found.issuing] == [(True, 1, 0), (False, 1, 1)]
        assert found.has_root_key
        assert not found.warnings
        assert found.pin == running.controller.facts.authority_pin


async def test_an_authority_is_retired_once_nothing_hangs_on_it(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        old = await running.enrol("web01")
        first = (await described(running)).issuing[0].serial
        code, text = await refusal(lambda: retire(running, first))
        assert (code, "is the one that signs" in text) == (grpc.StatusCode.FAILED_PRECONDITION, True)
        async with attached(running, old):
            await rotate(running)
            code, text = await refusal(lambda: retire(running))
            assert "1 holders have nothing newer than its certificates" in text
            new = await running.renew(old)
            # It has a new one, but its stream is still the old one's.
            assert "1 holders" in (await refusal(lambda: retire(running)))[1]
        async with attached(running, new):
            assert await retire(running) == 0
            assert [each.signs for each in (await described(running)).issuing] == [True]
            async with running.channel(old) as channel:
                stub = agent_pb2_grpc.AgentServiceStub(channel)
                code, text = await refusal(lambda: stub.RenewCertificate(agent_pb2.RenewCertificateRequest()))
            assert (code, "is revoked, or was never issued here" in text) == (grpc.StatusCode.UNAUTHENTICATED, True)
    async with controller(tmp_path) as running:
        # So it is after a restart.
        async with running.channel(old) as channel:
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            assert (await refusal(lambda: stub.RenewCertificate(agent_pb2.RenewCertificateRequest())))[
                0
            ] is grpc.StatusCode.UNAUTHENTICATED
        async with attached(running, new):
            pass


async def test_who_has_nothing_newer_is_shut_out_by_force(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        web = await running.enrol("web01")
        async with attached(running, web) as agent:
            await rotate(running)
            assert await retire(running, force=True) == 1
            async with asyncio.timeout(PATIENCE):
                await agent.ended.wait()


async def test_an_agent_that_was_away_is_asked_when_it_comes(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        web = await running.enrol("web01")
        await rotate(running)
    async with controller(tmp_path) as running, attached(running, web) as agent:
        await agent.next("renew_certificate")


async def test_without_the_roots_key_a_rotation_is_signed_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "controller" / "pki"
    async with controller(tmp_path):
        pass
    key_file = (folder / "root.key").rename(tmp_path / "root.key")
    async with controller(tmp_path) as running:
        code, text = await refusal(lambda: rotate(running))
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "needs the root's key" in text
        found = await described(running)
        assert not found.has_root_key
        async with running.operator_channel() as channel:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            asked = await stub.RequestIssuing(fleet_pb2.RequestIssuingRequest())
        signed = sign_issuing(asked.csr, key_file=key_file, root_pem=found.root)
        await rotate(running, signed)
        async with attached(running, await running.enrol("web01")):
            pass


async def test_an_issuing_authority_near_its_end_follows_itself(tmp_path: Path) -> None:
    async with controller(tmp_path, issuing_authority_ttl=3.0) as running:
        first = (await described(running)).issuing[0].serial
        async with attached(running, await running.enrol("web01")) as agent:
            await agent.next("renew_certificate")
            found = await described(running)
            assert found.issuing[0].serial != first
            assert first in [each.serial for each in found.issuing]


async def test_without_the_roots_key_its_end_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with controller(tmp_path, issuing_authority_ttl=3600):
        (tmp_path / "controller" / "pki" / "root.key").rename(tmp_path / "root.key")
    # It is to be replaced all its life.
    monkeypatch.setattr(authority, "_RENEWED_WITH", 1.0)
    async with controller(tmp_path) as running:
        assert "pybible-ctl pki rotate --root-key FILE" in (await described(running)).warnings[0]
