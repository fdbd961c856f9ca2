"""test_operators: what operators of each role may do at a real controller, and what rules make of a runner's tasks."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from pybible.server.controller.local_users import LocalUser
from pybible.v1 import enrollment_pb2, fleet_pb2, fleet_pb2_grpc
from pybible.wire.identity import OperatorRole
from tests.support.controller import Holder, RunningController, controller, key_and_request, local_operator
from tests.support.fake_agent import FakeAgent, attached
from tests.support.fake_ctl import run

RULES = {
    "web": {"operators": ["alice", "unix:dora"], "hosts": ["web*"], "become": []},
    "berlin": {
        "operators": ["alice", "carol", "unix:dora", "unix:carl"],
        "labels": {"site": "berlin"},
        "modules": ["ping", "service", "k8s.*"],
    },
    "look": {"operators": ["*"], "modules": ["stat", "setup"], "check_only": True},
}
QUESTIONS = 1000


@dataclass(slots=True, kw_only=True)
class Fleet:
    """A controller with rules and two agents: web01, and db01 in berlin."""

    running: RunningController
    agents: dict[str, FakeAgent]

    async def operator(self, name: str, role: OperatorRole = OperatorRole.RUNNER) -> Holder:
        """Return a new certificate."""
        return await self.running.enrol(name, operator_role=role)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with controller(tmp_path, rules=RULES) as running, AsyncExitStack() as stack:
        agents = {}
        for name, labels in (("web01", {}), ("db01", {"site": "berlin"})):
            token = await running.controller.create_token(labels=labels)
            holder = await running.enrol(name, token=token)
            agents[name] = await stack.enter_async_context(attached(running, holder))
        yield Fleet(running=running, agents=agents)


async def test_whoami_tells_name_role_and_rules(fleet: Fleet) -> None:
    alice = await fleet.operator("alice")
    async with fleet.running.channel(alice) as channel:
        answer = await fleet_pb2_grpc.FleetServiceStub(channel).WhoAmI(fleet_pb2.WhoAmIRequest())
    certificate = x509.load_pem_x509_certificate(alice.certificate)
    assert (answer.operator, answer.role, list(answer.rules)) == ("alice", "runner", ["web", "berlin", "look"])
    assert answer.serial == f"{certificate.serial_number:x}"
    assert [unit.value for unit in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)] == [
        "runner"
    ]
    async with fleet.running.operator_channel() as channel:
        answer = await fleet_pb2_grpc.FleetServiceStub(channel).WhoAmI(fleet_pb2.WhoAmIRequest())
    assert (answer.operator, answer.role, answer.serial) == (local_operator(), "admin", "")


async def certified(fleet: Fleet, name: str) -> Holder:
    return await fleet.operator(name)


async def local(fleet: Fleet, name: str) -> LocalUser:
    return LocalUser(uid=1000, pid=1, name=name, role=OperatorRole.RUNNER)


@pytest.mark.parametrize(
    ("operator", "names"),
    [(certified, ("alice", "bob", "carol")), (local, ("dora", "alice", "carl"))],
    ids=["certificates", "users"],
)
async def test_can_i_says_what_a_dispatch_then_meets(
    fleet: Fleet,
    operator: Callable[[Fleet, str], Awaitable[Holder | LocalUser]],
    names: tuple[str, ...],
) -> None:
    drawn = random.Random(20)
    modules = ["ping", "service", "shell", "stat", "setup", "k8s.core.k8s"]
    for name in names:
        who = await operator(fleet, name)
        async with fleet.running.channel_of(who) as channel, run(fleet.running, operator=who, forks=1) as ctl:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            allowed = 0
            for _ in range(QUESTIONS // 3 + 1):
                agent, module = drawn.choice(["web01", "db01"]), drawn.choice(modules)
                become, check = drawn.choice(["", "", "root", "www"]), drawn.random() < 0.5
                asked = fleet_pb2.CanIRequest(agent=agent, module=module, become_user=become, check=check)
                answer = await stub.CanI(asked)
                carried = module.startswith("k8s")
                [attempt] = await ctl.submit(
                    agent,
                    module="bridge" if carried else module,
                    args={"name": module} if carried else None,
                    become=become,
                    check=check,
                )
                if answer.allowed:
                    allowed += 1
                    dispatch = await fleet.agents[agent].dispatch()
                    await fleet.agents[agent].result(dispatch.attempt_id)
                ended = await ctl.end_of(attempt)
                assert ended.reason == ("" if answer.allowed else "policy_denied"), asked
                if not answer.allowed:
                    assert (await ctl.result_of(attempt))["msg"] == answer.reason
            assert 0 < allowed < QUESTIONS // 3
    assert all(agent.waiting("dispatch") == 0 for agent in fleet.agents.values())


@pytest.mark.parametrize("operator", [certified, local], ids=["certificate", "user"])
async def test_a_runner_of_web_without_become_meets_his_bounds(
    tmp_path: Path, operator: Callable[[Fleet, str], Awaitable[Holder | LocalUser]]
) -> None:
    rules = {"web": {"operators": ["alice", "unix:alice"], "hosts": ["web*"], "become": []}}
    async with controller(tmp_path, rules=rules) as running, AsyncExitStack() as stack:
        agents = {
            name: await stack.enter_async_context(attached(running, await running.enrol(name)))
            for name in ("web01", "db01")
        }
        who = await operator(Fleet(running=running, agents=agents), "alice")
        async with run(running, operator=who) as ctl:
            [fine] = await ctl.submit("web01", module="command")
            dispatch = await agents["web01"].dispatch()
            await agents["web01"].result(dispatch.attempt_id)
            assert (await ctl.end_of(fine)).reason == ""
            refused = [
                *await ctl.submit("db01"),
                *await ctl.submit("web01", become="root"),
                *await ctl.submit("db01", check=True, become="root"),
                *await ctl.submit("web01", become_by="/bin/sh"),
            ]
            for attempt in refused:
                assert (await ctl.end_of(attempt)).reason == "policy_denied"
                assert "rule 'web' does not allow" in (await ctl.result_of(attempt))["msg"]
        assert all(agent.waiting("dispatch") == 0 for agent in agents.values())


async def test_a_module_of_ones_own_does_not_pass_for_the_agents(tmp_path: Path) -> None:
    rules = {"ping": {"operators": ["alice"], "modules": ["ping"]}}
    async with controller(tmp_path, rules=rules) as running, attached(running, await running.enrol("web01")):
        alice = await running.enrol("alice", operator_role=OperatorRole.RUNNER)
        async with run(running, operator=alice) as ctl:
            for module, args in (
                ("bridge", {"name": "ping", "package": "0" * 64}),
                ("async_wrapper", {"module": "bridge", "arguments": {"name": "ansible.builtin.ping"}}),
            ):
                [attempt] = await ctl.submit("web01", module=module, args=args)
                assert (await ctl.end_of(attempt)).reason == "policy_denied"
                assert "a module 'ping' other than the agent's own" in (await ctl.result_of(attempt))["msg"]


async def test_a_runner_can_not_call_himself_somebody_else(fleet: Fleet) -> None:
    alice = await fleet.operator("alice")
    async with run(fleet.running, operator=alice) as ctl:
        run_id = ctl.run_id
    [view] = [each for each in await fleet.running.runs() if each.run_id == run_id]
    assert view.operator == "alice"


async def test_an_operators_name_is_taken_once(fleet: Fleet) -> None:
    await fleet.operator("alice")
    token = await fleet.running.controller.create_token(operator_role=OperatorRole.RUNNER)
    _, csr = key_and_request()
    answer = await fleet.running.ask_to_enrol(token, csr=csr, name="alice")
    assert answer.state == enrollment_pb2.EnrollResponse.STATE_DENIED
    assert "the operator alice has a certificate already" in answer.message
    token = await fleet.running.controller.create_token(operator_role=OperatorRole.RUNNER, name_pattern="alice")
    answer = await fleet.running.ask_to_enrol(token, csr=csr, name="alice")
    assert answer.state == enrollment_pb2.EnrollResponse.STATE_ISSUED


async def test_an_approver_makes_tokens_for_agents_only(fleet: Fleet) -> None:
    dan = await fleet.operator("dan", OperatorRole.APPROVER)
    async with fleet.running.channel(dan) as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        assert (await stub.CreateToken(fleet_pb2.CreateTokenRequest())).description.role == "agent"
        for role in OperatorRole:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.CreateToken(fleet_pb2.CreateTokenRequest(role=role))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert caught.value.details() == "an approver makes tokens for agents only"
