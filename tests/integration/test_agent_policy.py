"""test_agent_policy: a real agent with a policy of its own, and a controller that asks for anything."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pybible.agent.confine import version
from pybible.v1 import agent_pb2
from pybible.wire.convert import signature_to_pb, spec_to_pb
from pybible.wire.signing import SigningKey
from pybible.wire.tasks import Signature, TaskSpec
from tests.support.agent import AgentProcess, running_agent
from tests.support.fake_controller import FakeController, FakeSession, fake_controller

DENIED = agent_pb2.Rejected.REASON_POLICY_DENIED


@pytest.fixture
async def fake() -> AsyncIterator[FakeController]:
    async with fake_controller() as started:
        yield started


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def write(policy: Path, text: str) -> None:
    policy.write_text(text)
    policy.chmod(0o644)


@pytest.fixture
async def agent(fake: FakeController, tmp_path: Path, policy: Path) -> AsyncIterator[AgentProcess]:
    write(policy, '[modules]\ndeny = ["shell"]\n\n[become]\nusers = []\n')
    async with running_agent(fake.enrol(tmp_path / "web01"), policy=str(policy)) as started:
        yield started


async def refusal(session: FakeSession, attempt_id: str) -> str:
    rejected = (await session.expect("rejected", attempt_id)).rejected
    assert rejected.reason == DENIED
    return rejected.message


async def test_what_the_host_refuses_is_not_run_whoever_asks(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    session = await fake.session()
    assert list(session.hello.policy) == ["modules.deny: shell", "become.users: none"]
    marker = tmp_path / "marker"
    await session.dispatch("a1", "shell", args={"_raw_params": f"touch {marker}"})
    assert "modules.deny" in await refusal(session, "a1")
    job = {"module": "shell", "arguments": {"_raw_params": f"touch {marker}"}, "limit": 5, "directory": str(tmp_path)}
    await session.dispatch("a2", "async_wrapper", args=job)
    assert "line 2" in await refusal(session, "a2")
    await session.dispatch("a3", "ping", become=agent_pb2.Become(user="nobody"))
    assert "no task becomes user 'nobody'" in await refusal(session, "a3")
    await session.dispatch("a4", "ping")
    assert (await session.result("a4"))[0]["ping"] == "pong"
    assert not marker.exists()


async def test_the_policy_is_read_again_when_the_agent_is_told_to(
    fake: FakeController, agent: AgentProcess, policy: Path
) -> None:
    session = await fake.session()
    write(policy, '[modules]\nallow = ["ping"]\n')
    agent.signal(signal.SIGHUP)
    session = await fake.session()
    assert list(session.hello.policy) == ["modules.allow: ping"]
    await session.dispatch("a1", "command", args={"_raw_params": "true"})
    assert "modules.allow" in await refusal(session, "a1")


async def test_a_policy_that_became_wrong_leaves_the_old_one_in_force(
    fake: FakeController, agent: AgentProcess, policy: Path
) -> None:
    session = await fake.session()
    write(policy, "[modules]\nallow = 1\n")
    agent.signal(signal.SIGHUP)
    await session.dispatch("a1", "shell", args={"_raw_params": "true"})
    assert "modules.deny" in await refusal(session, "a1")
    await session.dispatch("a2", "ping")
    await session.result("a2")
    assert "modules.allow must be a list of texts" in agent.log.read_text()


async def test_an_agent_does_not_start_with_a_policy_that_is_wrong(
    fake: FakeController, tmp_path: Path, policy: Path
) -> None:
    write(policy, "[modules]\nallow = 1\n")
    async with running_agent(fake.enrol(tmp_path / "web01"), policy=str(policy)) as agent:
        assert await agent.ended() == 1
    assert f"{policy}:2: modules.allow must be a list of texts, not 1" in agent.log.read_text()


async def test_a_task_that_takes_too_long_is_ended(fake: FakeController, tmp_path: Path, policy: Path) -> None:
    write(policy, "[time]\nmax_task_seconds = 0.5\n")
    async with running_agent(fake.enrol(tmp_path / "web01"), policy=str(policy)):
        session = await fake.session()
        await session.dispatch("a1", "command", args={"_raw_params": "sleep 60"}, timeout=50)
        result, reason = await session.result("a1")
    assert reason == "policy_denied"
    assert "a task may take 0.5 seconds" in result["msg"]


@pytest.mark.skipif(version() < 1, reason="this kernel has no Landlock")
async def test_tasks_write_where_the_policy_lets_them(
    fake: FakeController, tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("confined")
    inside, outside, temporary = (top / name for name in ("inside", "outside", "temporary"))
    for folder in (inside, outside, temporary):
        folder.mkdir(mode=0o777)
    policy = top / "policy.toml"
    write(policy, f"[paths]\nwrite = {json.dumps([str(inside)])}\n")
    environment = {"TMPDIR": str(temporary)}
    async with running_agent(fake.enrol(top / "web01"), environment=environment, policy=str(policy)):
        session = await fake.session()
        await session.dispatch("a1", "shell", args={"_raw_params": f"echo x > {inside}/f && mkdir {inside}/d"})
        result, _ = await session.result("a1")
        assert result["rc"] == 0, result
        for number, command in enumerate((f"echo x > {outside}/f", f"mkdir {outside}/d", f"mv {inside}/f {outside}/")):
            await session.dispatch(f"b{number}", "shell", args={"_raw_params": command})
            result, _ = await session.result(f"b{number}")
            assert result["rc"] != 0, command
        for number, path in enumerate((f"{inside}/native", f"{outside}/native")):
            await session.dispatch(f"c{number}", "file", args={"path": path, "state": "touch"})
            result, _ = await session.result(f"c{number}")
            assert bool(result.get("failed")) is (number == 1), result
    assert not list(outside.iterdir())


async def send(session: FakeSession, attempt_id: str, spec: TaskSpec, signature: Signature | None) -> None:
    dispatch = agent_pb2.Dispatch(attempt_id=attempt_id, epoch=session.epoch, task=spec_to_pb(spec))
    if signature is not None:
        dispatch.signature.CopyFrom(signature_to_pb(signature))
    await session.send(dispatch=dispatch)


async def test_only_what_an_operator_signed_is_run(fake: FakeController, tmp_path: Path, policy: Path) -> None:
    key = SigningKey.create(tmp_path / "signing.key")
    write(policy, f'[signed]\nrequire = true\nkeys = ["{key.public} ada"]\n')
    count = tmp_path / "count"
    spec = TaskSpec(module="shell", args=json.dumps({"_raw_params": f"echo x >> {count}"}).encode())
    async with running_agent(fake.enrol(tmp_path / "web01"), policy=str(policy)):
        session = await fake.session()
        assert list(session.hello.policy) == ["signed.require: yes", "signed.keys: ada"]
        signature = key.sign(spec, attempt_id="a1", agent="web01")
        await send(session, "a0", spec, None)
        assert "the task is not signed (signed.require, " in await refusal(session, "a0")
        await send(session, "a0", spec, signature)
        assert "not what was signed" in await refusal(session, "a0")
        await send(session, "a1", replace(spec, args=b'{"_raw_params":"id"}'), signature)
        assert "not what was signed" in await refusal(session, "a1")
        expired = replace(signature, expires=1)
        await send(session, "a1", spec, expired)
        assert "has expired" in await refusal(session, "a1")
        await send(session, "a1", spec, signature)
        await session.result("a1")
        # Again, acknowledged or not: the agent's journal answers.
        await send(session, "a1", spec, signature)
        await session.result("a1")
        await session.ack("a1")
        await send(session, "a1", spec, signature)
        await session.result("a1")
    assert count.read_text() == "x\n"
