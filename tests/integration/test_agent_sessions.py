"""test_agent_sessions: a real agent process against a controller that a test drives by hand."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from pybible.v1 import agent_pb2
from pybible.wire.channel import INLINE_RESULT_BYTES
from tests.support.agent import AgentProcess, running_agent
from tests.support.fake_controller import FakeController, fake_controller
from tests.support.processes import alive, pid_written_to, until, until_dead
from tests.support.web_proxy import web_proxy

RUNNING = agent_pb2.JournalEntry.STATE_RUNNING
FINISHED = agent_pb2.JournalEntry.STATE_FINISHED
INTERRUPTED = agent_pb2.JournalEntry.STATE_INTERRUPTED


@pytest.fixture
async def fake() -> AsyncIterator[FakeController]:
    async with fake_controller() as started:
        yield started


@pytest.fixture
async def agent(fake: FakeController, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    async with running_agent(fake.enrol(tmp_path / "web01")) as started:
        yield started


async def test_an_agent_says_who_it_is_and_what_it_can(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    assert session.hello.protocol_min == 1
    assert "ping" in session.hello.modules
    assert session.hello.slots >= 4
    assert session.hello.last_epoch == 0
    assert len(session.hello.incarnation) == 36
    assert not session.hello.journal


async def test_a_quick_task_sends_nothing_but_its_result(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    await session.dispatch("warm", "ping")
    await session.result("warm")
    await session.dispatch("a1", "ping", args={"data": "hello"})
    result, reason = await session.result("a1")
    assert (result.get("ping"), reason) == ("hello", ""), result
    assert session.kinds()[-1:] == ["result"]
    assert session.kinds()[-2] == "result"


async def test_a_slow_task_is_accepted_and_started_before_its_result(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    await session.dispatch("a1", "command", args={"_raw_params": "sleep 0.3"})
    await session.expect("accepted", "a1")
    await session.expect("started", "a1")
    result, _ = await session.result("a1")
    assert result["rc"] == 0


async def test_output_comes_while_the_task_runs(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    command = "echo one; sleep 1; echo two"
    await session.dispatch("a1", "shell", args={"_raw_params": command}, output_limit=1000)
    first = (await session.expect("output", "a1")).output
    assert (first.data, first.offset, first.stream) == (b"one\n", 0, agent_pb2.Output.STREAM_STDOUT)
    second = (await session.expect("output", "a1")).output
    assert (second.data, second.offset) == (b"two\n", 4)
    await session.result("a1")


async def test_a_result_comes_again_after_a_reconnect_until_it_is_acknowledged(
    fake: FakeController, agent: AgentProcess
) -> None:
    session = await fake.session()
    await session.dispatch("a1", "ping")
    before, _ = await session.result("a1")
    session.close()
    session = await fake.session()
    assert session.hello.last_epoch == 1
    assert [(entry.attempt_id, entry.state) for entry in session.hello.journal] == [("a1", FINISHED)]
    after, _ = await session.result("a1")
    assert after == before
    await session.ack("a1")
    await session.dispatch("a2", "ping")
    await session.result("a2")
    await session.ack("a2")
    session.close()
    session = await fake.session()
    assert not session.hello.journal


async def test_a_task_goes_on_while_the_stream_is_away(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    incarnation = session.hello.incarnation
    await session.dispatch("a1", "command", args={"_raw_params": "sleep 2"})
    await session.expect("started", "a1")
    session.close()
    session = await fake.session()
    assert session.hello.incarnation == incarnation
    assert [(entry.attempt_id, entry.state) for entry in session.hello.journal] == [("a1", RUNNING)]
    result, reason = await session.result("a1")
    assert (result["rc"], reason) == (0, "")


async def test_an_attempt_that_is_not_wanted_any_more_is_cancelled(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    await session.dispatch("a1", "command", args={"_raw_params": "sleep 60"})
    await session.expect("started", "a1")
    fake.verdicts = lambda hello: {"a1": agent_pb2.Verdict.DECISION_CANCEL}
    session.close()
    session = await fake.session()
    result, reason = await session.result("a1")
    assert (result["failed"], reason) == (True, "cancelled")


async def test_a_killed_agent_comes_back_and_says_what_it_interrupted(fake: FakeController, tmp_path: Path) -> None:
    folder = fake.enrol(tmp_path / "web01")
    pid_file = tmp_path / "pid"
    async with running_agent(folder) as agent:
        session = await fake.session()
        await session.dispatch("done", "ping")
        await session.result("done")
        command = f"echo $$ > {pid_file}; exec sleep 300"
        await session.dispatch("cut", "shell", args={"_raw_params": command})
        await session.expect("started", "cut")
        sleeper = await pid_written_to(pid_file)
        await agent.kill()
        await until_dead(sleeper)
    async with running_agent(folder):
        session = await fake.session()
        states = {entry.attempt_id: entry.state for entry in session.hello.journal}
        assert states == {"done": FINISHED, "cut": INTERRUPTED}
        result, _ = await session.result("done")
        assert result.get("ping") == "pong", result


async def test_a_repeated_dispatch_is_answered_and_not_run_again(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    session = await fake.session()
    trace = tmp_path / "trace"
    args = {"_raw_params": f"echo run >> {trace}; sleep 0.3"}
    await session.dispatch("a1", "shell", args=args)
    await session.dispatch("a1", "shell", args=args)
    first, _ = await session.result("a1")
    await session.dispatch("a1", "shell", args=args)
    second, _ = await session.result("a1")
    assert first == second
    await session.ack("a1")
    await session.dispatch("a1", "shell", args=args)
    third, _ = await session.result("a1")
    assert first == third
    assert trace.read_text() == "run\n"


async def test_a_dispatch_of_an_earlier_session_is_refused(fake: FakeController, agent: AgentProcess) -> None:
    (await fake.session()).close()
    session = await fake.session()
    await session.dispatch("a1", "ping", epoch=session.epoch - 1)
    rejected = (await session.expect("rejected", "a1")).rejected
    assert rejected.reason == agent_pb2.Rejected.REASON_STALE_EPOCH


async def test_cancel_ends_the_task_and_all_it_started(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    session = await fake.session()
    pid_file = tmp_path / "pid"
    command = f"sh -c 'echo $$ > {pid_file}; exec sleep 300'; true"
    await session.dispatch("a1", "shell", args={"_raw_params": command})
    sleeper = await pid_written_to(pid_file)
    await session.send(cancel=agent_pb2.Cancel(attempt_id="a1"))
    result, reason = await session.result("a1")
    assert (result["failed"], reason) == (True, "cancelled")
    await until_dead(sleeper)


async def test_a_cancelled_command_may_clean_up(fake: FakeController, agent: AgentProcess, tmp_path: Path) -> None:
    session = await fake.session()
    trace = tmp_path / "trace"
    command = f"trap 'sleep 0.5; echo cleaned > {trace}; exit' TERM; echo up > {trace}; while :; do sleep 0.1; done"
    await session.dispatch("a1", "shell", args={"_raw_params": command})
    await until(trace.exists)
    cancel = agent_pb2.Cancel(attempt_id="a1")
    cancel.grace.FromTimedelta(timedelta(seconds=5))
    await session.send(cancel=cancel)
    _, reason = await session.result("a1")
    assert (reason, trace.read_text()) == ("cancelled", "cleaned\n")


async def test_a_task_that_ignores_sigterm_is_killed_after_the_grace(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    session = await fake.session()
    pid_file = tmp_path / "pid"
    command = f"trap '' TERM; echo $$ > {pid_file}; while :; do sleep 0.2; done"
    await session.dispatch("a1", "shell", args={"_raw_params": command}, timeout=0.5)
    stubborn = await pid_written_to(pid_file)
    result, reason = await session.result("a1")
    assert (result["msg"], reason) == ("Timed out after 0.5 second(s).", "timed_out")
    await until_dead(stubborn)


async def test_what_a_finished_task_left_running_outlives_later_tasks(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    session = await fake.session()
    pid_file = tmp_path / "pid"
    command = f"nohup sleep 300 > /dev/null 2>&1 & echo $! > {pid_file}"
    await session.dispatch("server", "shell", args={"_raw_params": command})
    await session.result("server")
    server = await pid_written_to(pid_file)
    await session.dispatch("slow", "command", args={"_raw_params": "sleep 300"}, timeout=0.5)
    _, reason = await session.result("slow")
    try:
        assert reason == "timed_out"
        assert alive(server)
    finally:
        os.kill(server, signal.SIGKILL)


async def test_a_large_result_travels_as_a_blob(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    size = 20 * 1024 * 1024
    await session.dispatch("a1", "ping", args={"data": "x" * 3_000_000})
    result = (await session.expect("result", "a1")).result
    assert result.WhichOneof("content") == "blob"
    assert result.blob.size > INLINE_RESULT_BYTES
    assert len(json.loads(fake.contents[result.blob.sha256])["ping"]) == 3_000_000
    await session.dispatch("a2", "command", args={"argv": ["printf", f"%0{size}d", "0"]})
    result = (await session.expect("result", "a2")).result
    assert len(json.loads(fake.contents[result.blob.sha256])["stdout"]) == size
    await session.dispatch("a3", "ping")
    await session.result("a3")


async def test_a_result_whose_file_is_gone_is_said_to_be(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    session = await fake.session()
    await session.dispatch("a1", "ping", args={"data": "x" * 3_000_000})
    await session.expect("result", "a1")
    [file] = (tmp_path / "web01" / "results").iterdir()
    file.unlink()
    session.close()
    result, reason = await (await fake.session()).result("a1")
    assert reason == "bad_result"
    assert result["msg"] == "the task ended, and its result can't be read any more: No such file or directory"


async def test_a_result_larger_than_any_may_be_is_said_to_be(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    # Each of its bytes takes six in JSON.
    await session.dispatch("a1", "command", args={"argv": ["head", "-c", "20000000", "/dev/zero"]})
    result, reason = await session.result("a1")
    assert reason == "result_too_large"
    assert "120000" in result["msg"]


async def test_content_is_fetched_once_and_goes_on_where_it_broke_off(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    session = await fake.session()
    content = os.urandom(1_000_000)
    sha256 = fake.store(content)
    fake.break_after = 300_000
    attachment = agent_pb2.Attachment(sha256=sha256, size=len(content))
    for name in ("a1", "a2"):
        args = {"dest": str(tmp_path / name), "_content": sha256}
        await session.dispatch(name, "copy", args=args, attachments=[attachment])
        result, reason = await session.result(name)
        assert reason == "", result
        assert (tmp_path / name).read_bytes() == content
    assert fake.gets == [0, 300_000]


async def test_content_that_the_controller_does_not_have_fails_the_task(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    session = await fake.session()
    attachment = agent_pb2.Attachment(sha256="0" * 64, size=7)
    args = {"dest": str(tmp_path / "x"), "_content": "0" * 64}
    await session.dispatch("a1", "copy", args=args, attachments=[attachment])
    result, reason = await session.result("a1")
    assert reason == "content_missing"
    assert "no such blob" in result["msg"]


async def test_nothing_new_is_started_when_the_lease_is_over(fake: FakeController, tmp_path: Path) -> None:
    fake.lease, fake.interval = 0.5, 0.2
    async with running_agent(fake.enrol(tmp_path / "web01"), slots=1):
        session = await fake.session()
        session.answer_heartbeats = False
        await session.dispatch("a1", "command", args={"_raw_params": "sleep 1"})
        await session.dispatch("a2", "ping")
        session = await fake.session()
        states = {entry.attempt_id: entry.state for entry in session.hello.journal}
        assert states["a2"] == RUNNING
        await session.result("a1")
        result, _ = await session.result("a2")
        assert result.get("ping") == "pong", result


async def test_sigterm_lets_the_task_finish_and_hands_its_result_over(
    fake: FakeController, agent: AgentProcess
) -> None:
    session = await fake.session()
    await session.dispatch("a1", "command", args={"_raw_params": "sleep 1"})
    await session.expect("started", "a1")
    agent.signal(signal.SIGTERM)
    await session.expect("draining")
    await session.dispatch("a2", "ping")
    rejected = (await session.expect("rejected", "a2")).rejected
    assert rejected.reason == agent_pb2.Rejected.REASON_DRAINING
    result, reason = await session.result("a1")
    assert (result["rc"], reason) == (0, "")
    await session.ack("a1")
    await session.expect("goodbye")
    assert await agent.ended() == 0


async def test_sigterm_kills_what_does_not_end_in_time(fake: FakeController, tmp_path: Path) -> None:
    async with running_agent(fake.enrol(tmp_path / "web01"), drain_timeout=0.5) as agent:
        session = await fake.session()
        await session.dispatch("a1", "command", args={"_raw_params": "sleep 300"})
        await session.expect("started", "a1")
        agent.signal(signal.SIGTERM)
        result, reason = await session.result("a1")
        assert (result["msg"], reason) == ("the agent was stopped", "cancelled")
        await session.ack("a1")
        assert await agent.ended() == 0


async def test_a_drain_by_the_controller_refuses_new_tasks(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    await session.send(drain=agent_pb2.Drain())
    await session.expect("draining")
    await session.dispatch("a1", "ping")
    await session.expect("rejected", "a1")


async def test_an_agent_that_is_asked_to_reconnect_does(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    await session.send(reconnect=agent_pb2.Reconnect())
    again = await fake.session()
    assert again.hello.incarnation == session.hello.incarnation


async def test_a_refused_agent_keeps_trying(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    fake.deny = agent_pb2.Deny(code=agent_pb2.Deny.CODE_OVERLOADED, message="too many at once")
    session.close()
    await asyncio.sleep(0.5)
    fake.deny = None
    await fake.session()


async def test_a_silent_controller_is_left(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    session.answer_heartbeats = False
    await fake.session()
    async with asyncio.timeout(10):
        await session.ended.wait()


async def test_two_agents_can_not_use_one_state_folder(fake: FakeController, tmp_path: Path) -> None:
    folder = fake.enrol(tmp_path / "web01")
    async with running_agent(folder):
        await fake.session()
        async with running_agent(folder) as second:
            assert await second.ended() == 1
            assert "another pybible-agent" in second.log.read_text()


async def test_an_agent_without_sessions_for_long_starts_itself_anew(tmp_path: Path, fake: FakeController) -> None:
    folder = fake.enrol(tmp_path / "web01")
    fake.deny = agent_pb2.Deny(code=agent_pb2.Deny.CODE_OVERLOADED)
    async with running_agent(folder, restart_after=0.5) as agent:
        await until(lambda: "starts itself anew" in agent.log.read_text())
        fake.deny = None
        await fake.session()
        assert agent.process.returncode is None


async def test_the_controller_is_dialled_through_a_proxy(fake: FakeController, tmp_path: Path) -> None:
    async with web_proxy() as proxy, running_agent(fake.enrol(tmp_path / "web01"), proxy=proxy.url):
        session = await fake.session()
        await session.dispatch("a1", "ping")
        await session.result("a1")
    assert proxy.asked[0].startswith(f"CONNECT {fake.address} HTTP/1.1")


async def test_systemd_is_told_how_the_agent_is(
    fake: FakeController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.setblocking(False)
        loop = asyncio.get_running_loop()
        seen: list[str] = []

        async def until_told(state: str) -> None:
            async with asyncio.timeout(10):
                while state not in seen:
                    seen.extend((await loop.sock_recv(channel, 4096)).decode().splitlines())

        async with running_agent(fake.enrol(tmp_path / "web01")) as agent:
            await until_told("READY=1")
            session = await fake.session()
            await until_told("STATUS=attached as web01")
            await until_told("WATCHDOG=1")
            # What a task starts must not speak in the agent's name.
            await session.dispatch("a1", "shell", args={"_raw_params": "echo $NOTIFY_SOCKET $WATCHDOG_USEC"})
            assert (await session.result("a1"))[0]["stdout"] == ""
            await session.ack("a1")
            agent.signal(signal.SIGTERM)
            await until_told("STOPPING=1")


async def test_a_hang_up_does_not_end_the_agent(fake: FakeController, agent: AgentProcess) -> None:
    session = await fake.session()
    agent.signal(signal.SIGHUP)
    await session.dispatch("a1", "ping")
    await session.result("a1")


async def test_what_would_end_with_its_lease_does(fake: FakeController, tmp_path: Path) -> None:
    fake.lease, fake.interval = 1.0, 0.3
    async with running_agent(fake.enrol(tmp_path / "web01")):
        session = await fake.session()
        session.answer_heartbeats = False
        await session.dispatch("ends", "command", args={"_raw_params": "sleep 300"}, terminate=True)
        await session.dispatch("stays", "command", args={"_raw_params": "sleep 3"})
        await session.expect("started", "stays")
        fake.deny = agent_pb2.Deny(code=agent_pb2.Deny.CODE_OVERLOADED)
        await session.ended.wait()
        await asyncio.sleep(1.5)
        fake.deny = None
        session = await fake.session()
        result, reason = await session.result("ends")
        assert (reason, "lost its controller" in result["msg"]) == ("cancelled", True)
        result, reason = await session.result("stays")
        assert (result["rc"], reason) == (0, "")


async def test_a_certificate_is_renewed_and_the_stream_handed_over(
    fake: FakeController, agent: AgentProcess, tmp_path: Path
) -> None:
    old = await fake.session()
    before = (tmp_path / "web01" / "agent.pem").read_bytes()
    await old.dispatch("a1", "command", args={"_raw_params": "sleep 2"})
    await old.expect("started", "a1")
    await old.send(renew_certificate=agent_pb2.RenewCertificate())
    new = await fake.session()
    # The old stream was still there when the new one came: at no moment was the agent away.
    assert not old.ended.is_set()
    await old.send(deny=agent_pb2.Deny(code=agent_pb2.Deny.CODE_SUPERSEDED))
    await old.ended.wait()
    assert fake.renewed == 1
    # No connection was made for it.
    assert fake.renewed_over == old.peer
    assert new.peer != old.peer
    assert (tmp_path / "web01" / "agent.pem").read_bytes() != before
    result, reason = await new.result("a1")
    assert (result["rc"], reason) == (0, "")
    await new.dispatch("a2", "ping")
    await new.result("a2")


async def test_a_certificate_is_renewed_in_time_without_being_asked(fake: FakeController, tmp_path: Path) -> None:
    async with running_agent(fake.enrol(tmp_path / "web01", renew_at=time.time() + 1)):
        first = await fake.session()
        second = await fake.session()
        assert second.hello.incarnation == first.hello.incarnation
        about = json.loads((tmp_path / "web01" / "agent.json").read_bytes())
        assert time.time() + 3600 < about["renew_at"] < about["expires"]
