"""test_agent_policy: a real agent with a policy of its own, and a controller that asks for anything."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pybible.agent.confine import version
from pybible.agent.journal import KEPT_ACKNOWLEDGED
from pybible.v1 import agent_pb2
from pybible.wire.convert import signature_to_pb, spec_to_pb
from pybible.wire.signing import SigningKey
from pybible.wire.tasks import Attachment, Become, Signature, TaskSpec
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


def hour_ahead() -> str:
    """Return a span of two hours in which it is not now, whatever the time."""
    start = (time.localtime().tm_hour + 2) % 24
    return f"{start:02}:00-{(start + 2) % 24:02}:00"


MARK = "MARK"
SHELL = {"_raw_params": f"touch {MARK}"}


@pytest.mark.parametrize(
    ("text", "module", "args", "mode", "said"),
    [
        ('[modules]\nallow = ["ping"]', "shell", SHELL, ("", False), "modules.allow"),
        ('[modules]\ndeny = ["sh*"]', "shell", SHELL, ("", False), "modules.deny"),
        (
            '[modules]\ndeny = ["shell"]',
            "async_wrapper",
            {"module": "shell", "arguments": SHELL},
            ("", False),
            "modules.deny",
        ),
        (
            "[modules]\nnative_only = true",
            "bridge",
            {"name": "mine", "package": MARK},
            ("", False),
            "modules.native_only",
        ),
        (
            "[modules]\nnative_only = true",
            "async_wrapper",
            {"module": "bridge", "arguments": {"name": "ping", "package": MARK}},
            ("", False),
            "modules.native_only",
        ),
        ('[modules]\nallow = ["ping"]', "bridge", {"name": "ping", "package": MARK}, ("", False), "modules.allow"),
        ("[become]\nusers = []", "shell", SHELL, ("nobody", False), "become.users"),
        ('[become]\nusers = ["nobody"]', "shell", SHELL, ("0", False), "become.users"),
        ("[tasks]\ncheck_only = true", "shell", SHELL, ("", False), "tasks.check_only"),
        (
            "[tasks]\ncheck_only = true",
            "bridge",
            {"name": "mine", "package": MARK},
            ("", True),
            "tasks.check_only",
        ),
        (
            "[time]\nmax_task_seconds = 9",
            "async_wrapper",
            {"module": "shell", "limit": 10},
            ("", False),
            "time.max_task_seconds",
        ),
        (
            "[time]\nmax_task_seconds = 9",
            "async_wrapper",
            {"module": "shell", "limit": "10", "arguments": SHELL},
            ("", False),
            "time.max_task_seconds",
        ),
        (f'[time]\nhours = ["{hour_ahead()}"]', "shell", SHELL, ("", False), "time.hours"),
        ("[signed]\nrequire = true\nkeys = []", "shell", SHELL, ("", False), "signed.require"),
    ],
)
async def test_a_controller_that_sends_anything_gets_nothing_past_the_policy(
    fake: FakeController,
    tmp_path: Path,
    policy: Path,
    text: str,
    module: str,
    args: dict[str, object],
    mode: tuple[str, bool],
    said: str,
) -> None:
    write(policy, text + "\n")
    marker = tmp_path / "marker"
    args = json.loads(json.dumps(args).replace(MARK, str(marker)))
    async with running_agent(fake.enrol(tmp_path / "web01"), policy=str(policy)):
        session = await fake.session()
        await session.dispatch("a1", module, args=args, become=agent_pb2.Become(user=mode[0]), check=mode[1])
        message = await refusal(session, "a1")
        assert f"({said}, {policy} line 2)" in message
        # It goes on to do what it may, or to refuse it for the same reason.
        await session.dispatch("a2", "ping")
        if said in {"time.hours", "signed.require"}:
            assert said in await refusal(session, "a2")
        else:
            await session.result("a2")
    assert not marker.exists()


async def test_a_job_starts_no_job_of_its_own(fake: FakeController, tmp_path: Path, policy: Path) -> None:
    write(policy, '[modules]\ndeny = ["shell"]\n[time]\nmax_task_seconds = 60\n')
    marker, jobs = tmp_path / "marker", str(tmp_path / "jobs")
    inner = {"module": "shell", "arguments": {"_raw_params": f"touch {marker}"}, "limit": 3600, "directory": jobs}
    job = {"module": "async_wrapper", "arguments": inner, "limit": 5, "directory": jobs}
    async with running_agent(fake.enrol(tmp_path / "web01"), policy=str(policy)):
        session = await fake.session()
        await session.dispatch("a1", "async_wrapper", args=job)
        result, _ = await session.result("a1")
    assert (result["failed"], result["msg"]) == (True, "a job starts no job")
    assert not marker.exists()


async def test_only_a_jobs_file_is_removed_as_one(fake: FakeController, tmp_path: Path, policy: Path) -> None:
    write(policy, "[tasks]\ncheck_only = true\n")
    (tmp_path / "precious").touch()
    async with running_agent(fake.enrol(tmp_path / "web01"), policy=str(policy)):
        session = await fake.session()
        for number, job_id in enumerate(("precious", "../precious", f"{tmp_path}/precious")):
            args = {"jid": job_id, "mode": "cleanup", "_async_dir": str(tmp_path)}
            await session.dispatch(f"a{number}", "async_status", args=args)
            result, _ = await session.result(f"a{number}")
            assert result["msg"] == "could not find job"
    assert (tmp_path / "precious").exists()


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


SIGNED = TaskSpec(
    module="shell",
    args=b'{"_raw_params":"true"}',
    environment={"A": "1"},
    become=Become(user="nobody", method="sudo", flags="-n", executable="sudo"),
    timeout=20.0,
    output_limit=100,
    verbosity=1,
    attachments=(Attachment(sha256=hashlib.sha256(b"x").hexdigest(), size=1, inline=b"x"),),
)
ALTERED = {
    "module": replace(SIGNED, module="raw"),
    "args": replace(SIGNED, args=b'{"_raw_params":"id"}'),
    "environment": replace(SIGNED, environment={"A": "2"}),
    "more environment": replace(SIGNED, environment={"A": "1", "LD_PRELOAD": "/x.so"}),
    "no become": replace(SIGNED, become=None),
    "become user": replace(SIGNED, become=Become(user="root", method="sudo", flags="-n", executable="sudo")),
    "become method": replace(SIGNED, become=Become(user="nobody", method="su", flags="-n", executable="sudo")),
    "become flags": replace(SIGNED, become=Become(user="nobody", method="sudo", flags="-nE", executable="sudo")),
    "become program": replace(SIGNED, become=Become(user="nobody", method="sudo", flags="-n", executable="/bin/sh")),
    "timeout": replace(SIGNED, timeout=21.0),
    "no timeout": replace(SIGNED, timeout=None),
    "check": replace(SIGNED, check=True),
    "diff": replace(SIGNED, diff=True),
    "no_log": replace(SIGNED, no_log=True),
    "terminate": replace(SIGNED, terminate=True),
    "output_limit": replace(SIGNED, output_limit=101),
    "verbosity": replace(SIGNED, verbosity=2),
    "no attachment": replace(SIGNED, attachments=()),
    "attachment": replace(
        SIGNED, attachments=(Attachment(sha256=hashlib.sha256(b"y").hexdigest(), size=1, inline=b"y"),)
    ),
    "content": replace(SIGNED, attachments=(replace(SIGNED.attachments[0], inline=b"y"),)),
}


async def test_what_was_altered_behind_the_signature_is_refused(
    fake: FakeController, tmp_path: Path, policy: Path
) -> None:
    key, other = (SigningKey.create(tmp_path / f"{name}.key") for name in ("signing", "other"))
    write(policy, f'[signed]\nrequire = true\nkeys = ["{key.public} ada"]\n')
    signature = key.sign(SIGNED, attempt_id="a1", agent="web01")
    forged = {
        "expires": replace(signature, expires=signature.expires + 1),
        "agent": replace(signature, agent="id-of-web01"),
        "another host's": key.sign(SIGNED, attempt_id="a1", agent="web02"),
        "another attempt's": key.sign(SIGNED, attempt_id="a2", agent="web01"),
        "value": replace(signature, value=bytes(64)),
        "short value": replace(signature, value=b"x"),
        "another key's": other.sign(SIGNED, attempt_id="a1", agent="web01"),
        "key": replace(other.sign(SIGNED, attempt_id="a1", agent="web01"), key=signature.key),
        "no key": replace(signature, key=b""),
    }
    async with running_agent(fake.enrol(tmp_path / "web01"), policy=str(policy)):
        session = await fake.session()
        for what, spec in ALTERED.items():
            await send(session, "a1", spec, signature)
            assert "not what was signed" in await refusal(session, "a1"), what
        for what, each in forged.items():
            await send(session, "a1", SIGNED, each)
            assert "(signed.require, " in await refusal(session, "a1"), what


async def test_what_was_run_once_is_not_run_again_by_a_new_process(
    fake: FakeController, tmp_path: Path, policy: Path
) -> None:
    key = SigningKey.create(tmp_path / "signing.key")
    write(policy, f'[signed]\nrequire = true\nkeys = ["{key.public} ada"]\n')
    count = tmp_path / "count"
    spec = TaskSpec(module="shell", args=json.dumps({"_raw_params": f"echo x >> {count}"}).encode())
    signature = key.sign(spec, attempt_id="a1", agent="web01")
    state = fake.enrol(tmp_path / "web01")
    async with running_agent(state, policy=str(policy)):
        session = await fake.session()
        await send(session, "a1", spec, signature)
        await session.result("a1")
        await session.ack("a1")
        # More than an agent keeps of what was acknowledged, so that the first is forgotten but for its signature.
        for number in range(KEPT_ACKNOWLEDGED + 1):
            other = TaskSpec(module="ping", args=b"{}")
            await send(session, f"b{number}", other, key.sign(other, attempt_id=f"b{number}", agent="web01"))
            await session.result(f"b{number}")
            await session.ack(f"b{number}")
        await send(session, "a1", spec, signature)
        assert (await session.result("a1"))[1] == "rejected"
    async with running_agent(state, policy=str(policy)):
        session = await fake.session()
        await send(session, "a1", spec, signature)
        assert (await session.result("a1"))[1] == "rejected"
    assert count.read_text() == "x\n"
