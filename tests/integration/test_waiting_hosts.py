"""test_waiting_hosts: hosts without a token at a real controller: they wait, and an operator or a rule decides."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pybible.agent import state
from pybible.agent.enroll import join_by_request
from pybible.v1 import enrollment_pb2, enrollment_pb2_grpc, fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import AccessDenied
from tests.support.controller import RunningController, controller, key_and_request

PENDING = enrollment_pb2.EnrollResponse.STATE_PENDING
ISSUED = enrollment_pb2.EnrollResponse.STATE_ISSUED
DENIED = enrollment_pb2.EnrollResponse.STATE_DENIED


async def decide(running: RunningController, *hosts: str, approve: bool = True, **told: object) -> list[str]:
    request = fleet_pb2.DecideEnrollmentsRequest(hosts=hosts, approve=approve, **told)  # type: ignore[arg-type]
    async with running.operator_channel() as channel:
        answer = await fleet_pb2_grpc.FleetServiceStub(channel).DecideEnrollments(request)
    return [f"{each.name} {each.state}" for each in answer.enrollments]


async def listed(running: RunningController) -> list[fleet_pb2.Enrollment]:
    async with running.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        return list((await stub.ListEnrollments(fleet_pb2.ListEnrollmentsRequest())).enrollments)


async def poll(running: RunningController, enrollment_id: str, csr: bytes) -> enrollment_pb2.EnrollResponse:
    async with running.enrollment_channel() as channel:
        stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        return await stub.PollEnrollment(enrollment_pb2.PollEnrollmentRequest(enrollment_id=enrollment_id, csr=csr))


async def test_a_host_waits_until_it_is_approved(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        _, csr = key_and_request()
        asked = await running.ask_to_enrol("", csr=csr, name="web01")
        assert asked.state == PENDING
        assert (await poll(running, asked.enrollment_id, csr)).state == PENDING
        (seen,) = await listed(running)
        assert (seen.name, seen.address, seen.state) == ("web01", "127.0.0.1", "waiting")
        assert await decide(running, seen.fingerprint[:12], labels={"site": "berlin"}) == ["web01 approved"]
        first, again = await poll(running, asked.enrollment_id, csr), await poll(running, asked.enrollment_id, csr)
        assert first.state == ISSUED
        # An answer that was lost is given again: it is the same certificate.
        assert again.certificate == first.certificate
        assert await listed(running) == []
        async with running.operator_channel() as channel:
            (agent,) = (await fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest())).agents
        assert (agent.name, dict(agent.labels)) == ("web01", {"site": "berlin"})


async def test_another_key_gets_nothing(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        _, csr = key_and_request()
        asked = await running.ask_to_enrol("", csr=csr)
        await decide(running, "web01")
        _, other = key_and_request()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await poll(running, asked.enrollment_id, other)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_host_that_is_turned_away_is_told_why(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        _, csr = key_and_request()
        asked = await running.ask_to_enrol("", csr=csr)
        assert await decide(running, "web01", approve=False, reason="not ours") == ["web01 denied"]
        answer = await poll(running, asked.enrollment_id, csr)
        assert (answer.state, answer.message) == (DENIED, "not ours")
        assert (await running.ask_to_enrol("", csr=csr)).state == DENIED


async def test_a_taken_name_is_told_to_whoever_approves(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        await running.enrol("web01")
        await running.ask_to_enrol("", csr=key_and_request()[1], name="web01")
        await running.ask_to_enrol("", csr=key_and_request()[1], name="web02")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await decide(running, all_matching="web*")
        assert "the name web01 belongs to another agent" in (caught.value.details() or "")
        assert {each.state for each in await listed(running)} == {"waiting"}
        assert await decide(running, "web02") == ["web02 approved"]


async def test_a_rule_lets_hosts_in(tmp_path: Path) -> None:
    rules = {"here": {"names": ["web*"], "networks": ["127.0.0.0/8"], "labels": {"by": "rule"}}}
    async with controller(tmp_path, admit=rules) as running:
        assert (await running.ask_to_enrol("", csr=key_and_request()[1], name="web01")).state == ISSUED
        assert (await running.ask_to_enrol("", csr=key_and_request()[1], name="db01")).state == PENDING


async def refused_for(stub: enrollment_pb2_grpc.EnrollmentServiceAsyncStub, name: str) -> str:
    """Ask with a new key, and return the reason of the refusal."""
    return (await stub.Enroll(enrollment_pb2.EnrollRequest(csr=key_and_request()[1], name=name))).message


async def test_ten_thousand_requests_of_one_address_leave_the_queue_usable(tmp_path: Path) -> None:
    async with controller(tmp_path, enroll_rate=100_000.0, waiting_per_address=50) as running:
        _, csr = key_and_request()
        async with running.enrollment_channel() as channel:
            stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
            reasons: Counter[str] = Counter()
            for first in range(0, 10_000, 10):
                async with asyncio.TaskGroup() as group:
                    answers = [
                        group.create_task(refused_for(stub, f"h{number}")) for number in range(first, first + 10)
                    ]
                reasons.update(answer.result() for answer in answers)
        assert reasons == {"": 50, "50 hosts of this address wait to be enrolled already": 9_950}
        assert len(await listed(running)) == 50
        assert await decide(running, "h7") == ["h7 approved"]
        holder = await running.enrol("with-a-token")
        assert holder.name == "with-a-token"
        assert (await running.ask_to_enrol("", csr=csr)).state == DENIED


async def test_an_agent_joins_when_it_is_approved(tmp_path: Path) -> None:
    folder = tmp_path / "web01"
    async with controller(tmp_path) as running:
        waits = threading.Event()
        told: list[str] = []

        def note(fingerprint: str) -> None:
            told.append(fingerprint)
            waits.set()

        joining = asyncio.create_task(
            asyncio.to_thread(
                join_by_request,
                folder,
                controller=running.enroll_address,
                pin=running.controller.facts.authority_pin,
                waits=note,
                name="web01",
            )
        )
        await asyncio.to_thread(waits.wait, 30)
        (seen,) = await listed(running)
        assert seen.fingerprint == told[0]
        assert seen.facts["kernel"]
        assert (folder / "waiting.key").stat().st_mode & 0o777 == 0o600
        await decide(running, "web01")
        identity = await joining
        assert identity.name == "web01"
        assert state.load_identity(folder) == identity
        assert not (folder / "waiting.key").exists()


async def test_a_controller_with_another_key_is_not_asked(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        with pytest.raises(AccessDenied, match="does not match the pin"):
            await asyncio.to_thread(
                join_by_request,
                tmp_path / "web01",
                controller=running.enroll_address,
                pin="00" * 32,
                waits=lambda _: None,
            )
        assert await listed(running) == []
