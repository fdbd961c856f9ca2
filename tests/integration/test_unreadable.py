"""test_unreadable: bytes that are no message of the call they come on: its end, with a status, and nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from pybible.v1 import agent_pb2
from tests.fuzz.agents import arena
from tests.support.agent import running_agent
from tests.support.controller import RunningController, controller
from tests.support.fake_agent import attached
from tests.support.fake_controller import fake_controller
from tests.support.fake_ctl import run
from tests.support.processes import until

NOISE = b"\xff\xff\xff"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningController]:
    async with controller(tmp_path) as started:
        yield started


async def test_a_session_ends_by_a_denial_and_its_task_fails(running: RunningController) -> None:
    holder = await running.enrol()
    async with attached(running, holder) as agent, run(running, grace=0.0) as ctl:
        [name] = await ctl.submit("web01")
        await agent.dispatch()
        # What the generated code would not write.
        raw: Any = agent._call
        raw._request_serializer = lambda data: data
        await raw.write(NOISE)
        assert (await agent.next("deny")).deny.code == agent_pb2.Deny.CODE_INVALID
        assert (await ctl.end_of(name)).reason == "lost_mid_task"


@pytest.mark.parametrize(
    "path",
    [
        "/pybible.v1.RunService/Execute",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_a_stream_of_an_operator_is_refused(
    running: RunningController, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running.operator_channel() as channel:
        call: Any = channel.stream_stream(path)
        stream = call()
        await stream.write(NOISE)
        await stream.done_writing()
        assert await stream.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("path", ["/pybible.v1.FleetService/ListAgents", "/pybible.v1.RunService/GetRun"])
async def test_a_question_is_refused(running: RunningController, path: str, caplog: pytest.LogCaptureFixture) -> None:
    async with running.operator_channel() as channel:
        question: Any = channel.unary_unary(path)
        assert await question(NOISE).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "Traceback" not in caplog.text


async def test_a_blob_is_refused(running: RunningController) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield NOISE

    async with running.operator_channel() as channel:
        put: Any = channel.stream_unary("/pybible.v1.BlobService/Put")
        assert await put(parts()).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_agent_outlives_a_reason_that_it_does_not_know(tmp_path: Path) -> None:
    async with fake_controller() as fake:
        fake.deny = agent_pb2.Deny(message="not today\nREADY=1")
        fake.deny.MergeFromString(b"\x08\x63")
        fake.deny.retry_after.FromMilliseconds(50)
        async with running_agent(fake.enrol(tmp_path / "web01")) as agent:
            await until(lambda: b"not today" in agent.log.read_bytes())
            fake.deny = None
            await fake.session()
        assert b"Traceback" not in agent.log.read_bytes()


async def test_an_agent_leaves_a_stream_on_which_comes_what_can_not_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with arena(tmp_path) as agent:
        ended = await agent.attach((None, [NOISE]))
        assert "can't be read" in ended.why
        # And works on the next one.
        await agent.attach((None, []))
        assert agent.puppet.answered
    assert "Traceback" not in caplog.text
