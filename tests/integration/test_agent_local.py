"""test_agent_local: the control node's own runner, as pybible-ctl speaks to it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pybible.wire.frames import Frame, encode, read_frame
from pybible.wire.tasks import Become, TaskSpec, spec_to_header
from pybible.wire.values import JsonObject, dumps, loads_object
from tests.support.processes import alive, pid_written_to, until, until_dead

COMMAND = (sys.executable, "-m", "pybible.agent.local", "--workers", "2")


class Ctl:
    """The other end of the pipe."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def send(self, header: JsonObject, body: bytes = b"") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(encode(header, body))
        await self.process.stdin.drain()

    async def run(self, name: str, module: str, args: JsonObject | None = None, **more: object) -> None:
        spec = TaskSpec(module=module, args=dumps(args or {}), **more)  # type: ignore[arg-type]
        await self.send({"type": "run", "id": name, "spec": spec_to_header(spec)}, spec.args)

    async def frame(self) -> Frame:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            frame = await read_frame(self.process.stdout)
        assert frame is not None
        return frame

    async def result(self, name: str) -> tuple[JsonObject, str]:
        while True:
            frame = await self.frame()
            if frame.type == "result":
                assert frame.header["id"] == name
                return loads_object(frame.body), frame.header["reason"]


@pytest.fixture
async def ctl() -> AsyncIterator[Ctl]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    started = Ctl(process)
    ready = await started.frame()
    assert ready.type == "ready"
    assert "command" in ready.header["modules"]
    yield started
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(10):
        assert await process.wait() == 0


async def test_tasks_are_run_and_answered(ctl: Ctl) -> None:
    await ctl.run("a", "ping", {"data": "hello"})
    result, reason = await ctl.result("a")
    assert (result["ping"], reason) == ("hello", "")


async def test_it_carries_no_grpc(ctl: Ctl) -> None:
    maps = Path(f"/proc/{ctl.process.pid}/maps").read_text()  # noqa: ASYNC240
    assert "grpc" not in maps
    assert "cryptography" not in maps


async def test_a_task_begins_where_the_playbook_lies(ctl: Ctl, tmp_path: Path) -> None:
    await ctl.run("a", "shell", {"_raw_params": "pwd"}, directory=str(tmp_path))
    assert (await ctl.result("a"))[0]["stdout"] == str(tmp_path)


async def test_output_comes_before_the_result(ctl: Ctl) -> None:
    await ctl.run("a", "shell", {"_raw_params": "echo out; echo err >&2; sleep 0.4"}, output_limit=1000)
    frames = [await ctl.frame() for _ in range(3)]
    assert {(frame.header.get("stream"), frame.body) for frame in frames[:2]} == {
        ("stdout", b"out\n"),
        ("stderr", b"err\n"),
    }
    assert frames[2].type == "result"


async def test_a_task_is_cancelled(ctl: Ctl, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    await ctl.run("a", "shell", {"_raw_params": f"echo $$ > {pid_file}; exec sleep 300"})
    sleeper = await pid_written_to(pid_file)
    await ctl.send({"type": "cancel", "id": "a", "grace": 1.0})
    _, reason = await ctl.result("a")
    assert reason == "cancelled"
    await until_dead(sleeper)


async def test_timeouts_hold_here_too(ctl: Ctl) -> None:
    await ctl.run("a", "command", {"_raw_params": "sleep 300"}, timeout=0.3)
    _, reason = await ctl.result("a")
    assert reason == "timed_out"


async def test_a_killed_worker_is_a_result_and_the_next_task_works(ctl: Ctl) -> None:
    await ctl.run("a", "shell", {"_raw_params": "kill -9 $PPID"})
    _, reason = await ctl.result("a")
    assert reason == "worker_died"
    await ctl.run("b", "ping")
    assert (await ctl.result("b"))[0]["ping"] == "pong"


async def test_a_large_result_comes_whole(ctl: Ctl) -> None:
    await ctl.run("a", "command", {"argv": ["printf", "%020000000d", "0"]})
    assert len((await ctl.result("a"))[0]["stdout"]) == 20_000_000


async def test_what_is_no_task_is_refused(ctl: Ctl) -> None:
    await ctl.send({"type": "run", "id": "a", "spec": {}})
    _, reason = await ctl.result("a")
    assert reason == "rejected"
    await ctl.run("b", "ping", become=Become(user="nobody-of-that-name"))
    _, reason = await ctl.result("b")
    assert reason == "become_failed"


@pytest.mark.parametrize("how", ["quit", "eof", "kill"])
async def test_nothing_outlives_it(how: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    ctl = Ctl(process)
    pid_file = tmp_path / "pid"
    await ctl.run("a", "shell", {"_raw_params": f"echo $$ $PPID > {pid_file}; exec sleep 300"})
    await until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    sleeper, worker = map(int, pid_file.read_text().split())
    assert alive(worker)
    if how == "quit":
        await ctl.send({"type": "quit"})
    elif how == "eof":
        assert process.stdin is not None
        process.stdin.close()
    else:
        process.kill()
    async with asyncio.timeout(10):
        await process.wait()
    await until_dead(worker)
    await until_dead(sleeper)


@pytest.mark.parametrize(
    ("module", "args"),
    [
        ("lineinfile", {"regexp": "(a+)+b", "line": "x"}),
        ("lineinfile", {"regexp": "x", "line": "x", "insertafter": "(a|a)*b"}),
        ("replace", {"regexp": "(a+)+b", "replace": "x"}),
        ("replace", {"regexp": "x", "replace": "x", "after": "(a+)+b"}),
        ("find", {"patterns": ["(a+)+b"], "use_regex": True}),
        ("find", {"contains": ".*(a+)+b"}),
    ],
)
async def test_a_pattern_that_backtracks_for_ever_is_ended_by_the_task_s_timeout(
    ctl: Ctl, tmp_path: Path, module: str, args: JsonObject
) -> None:
    file = tmp_path / ("a" * 40)
    file.write_text("a" * 40 + "\n")
    where = {"paths": [str(tmp_path)]} if module == "find" else {"path": str(file)}
    await ctl.run("slow", module, {**args, **where}, timeout=0.5)
    result, reason = await ctl.result("slow")
    assert (reason, result["msg"]) == ("timed_out", "Timed out after 0.5 second(s).")
    assert file.read_text() == "a" * 40 + "\n"
    await ctl.run("next", "ping")
    assert (await ctl.result("next"))[0]["ping"] == "pong"
