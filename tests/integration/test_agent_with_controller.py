"""test_agent_with_controller: the agent's own command against the real controller: join, run, tasks, deaths."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pybible.server.controller.sessions.instructions import SessionState
from pybible.wire.identity import JoinToken
from tests.support.agent import running_agent
from tests.support.controller import RunningController, controller
from tests.support.fake_ctl import run
from tests.support.processes import until
from tests.support.web_proxy import web_proxy

JOIN = (sys.executable, "-m", "pybible.agent.cli", "join")


@pytest.fixture
async def c(tmp_path: Path) -> AsyncIterator[RunningController]:
    async with controller(tmp_path) as started:
        yield started


async def command(*words: str | Path, stdin: bytes = b"") -> tuple[int, str]:
    """Run a command and return its exit status and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        printed, _ = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, printed.decode()


async def joined(c: RunningController, folder: Path, name: str = "web01") -> Path:
    """Enrol with the real command."""
    token = await c.controller.create_token()
    status, printed = await command(*JOIN, "--token", token, "--state", folder, "--name", name)
    assert status == 0, printed
    return folder


async def attached(c: RunningController) -> None:
    """Wait until an agent has its session."""
    sessions = c.controller._parts.sessions
    await until(lambda: any(item.state is SessionState.READY for item in sessions.statuses().values()))


async def test_a_host_joins_and_runs_through_a_proxy(c: RunningController, tmp_path: Path) -> None:
    folder = tmp_path / "web01"
    token = await c.controller.create_token()
    async with web_proxy() as proxy:
        url = proxy.url.replace("//", "//ada:s%40cret@")
        status, printed = await command(*JOIN, "--token", token, "--state", folder, "--name", "web01", "--proxy", url)
        assert status == 0, printed
        assert json.loads((folder / "agent.json").read_bytes())["proxy"] == url
        # For the certificate, for the authority, to enrol.
        assert {head.split()[1] for head in proxy.asked} == {c.enroll_address}
        login = base64.b64encode(b"ada:s@cret").decode()
        assert all(f"Proxy-Authorization: Basic {login}" in head for head in proxy.asked)
        async with running_agent(folder):
            await attached(c)
            assert proxy.asked[-1].startswith(f"CONNECT {c.agent_address} ")


async def test_a_proxy_that_refuses_is_named_without_its_password(c: RunningController, tmp_path: Path) -> None:
    token = await c.controller.create_token()
    async with web_proxy(refuse=True) as proxy:
        url = proxy.url.replace("//", "//ada:secret@")
        status, printed = await command(*JOIN, "--token", token, "--state", tmp_path / "a", "--proxy", url)
    assert status == 1
    assert f"the proxy {proxy.url.removeprefix('http://')} does not connect to {c.enroll_address}" in printed
    assert "403 Forbidden" in printed
    assert "secret" not in printed


async def test_what_is_no_proxy_is_said_before_anything_is_sent(c: RunningController, tmp_path: Path) -> None:
    token = await c.controller.create_token()
    status, printed = await command(*JOIN, "--token", token, "--state", tmp_path / "a", "--proxy", "socks5://p:1")
    assert (status, "'socks5://p:1' is not a proxy" in printed) == (1, True)


async def test_a_host_joins_with_a_token(c: RunningController, tmp_path: Path) -> None:
    folder = await joined(c, tmp_path / "web01")
    about = json.loads((folder / "agent.json").read_bytes())
    assert (about["name"], about["controller"]) == ("web01", c.agent_address)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {
        "agent.pem": "0o600",
        "ca.crt": "0o600",
        "agent.json": "0o600",
    }
    assert oct(folder.stat().st_mode & 0o777) == "0o700"


async def test_a_token_may_come_on_standard_input(c: RunningController, tmp_path: Path) -> None:
    token = await c.controller.create_token()
    status, printed = await command(
        *JOIN, "--token", "-", "--state", tmp_path / "a", "--name", "web01", stdin=token.encode() + b"\n"
    )
    assert status == 0, printed
    assert printed.startswith("enrolled as web01 (")


async def test_a_wrong_pin_ends_it_before_anything_is_sent_or_written(c: RunningController, tmp_path: Path) -> None:
    token = await c.controller.create_token()
    wrong = replace(JoinToken.decode(token), pin="0" * 64).encode()
    status, printed = await command(*JOIN, "--token", wrong, "--state", tmp_path / "web01")
    assert status == 1
    assert "does not match the pin" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "web01").exists()
    # The secret was not sent, so it is not used up.
    status, printed = await command(*JOIN, "--token", token, "--state", tmp_path / "web01")
    assert status == 0, printed


async def test_a_used_up_token_is_refused(c: RunningController, tmp_path: Path) -> None:
    token = await c.controller.create_token()
    await command(*JOIN, "--token", token, "--state", tmp_path / "a", "--name", "a")
    status, printed = await command(*JOIN, "--token", token, "--state", tmp_path / "b", "--name", "b")
    assert (status, printed.count("\n")) == (1, 1)
    assert "used up" in printed
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--token", "nonsense"), "that is not a join token"),
        (("--controller", "127.0.0.1:1"), "can't reach 127.0.0.1:1: Connection refused"),
        (("--controller", "nowhere"), "'nowhere' is not HOST:PORT"),
    ],
)
async def test_what_can_not_work_is_said_in_a_line(
    c: RunningController, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    token = await c.controller.create_token()
    status, printed = await command(*JOIN, "--token", token, "--state", tmp_path / "a", *arguments)
    assert status == 1
    assert words in printed.splitlines()[0]
    assert "Traceback" not in printed


async def test_an_enrolled_agent_is_not_enrolled_over(c: RunningController, tmp_path: Path) -> None:
    folder = await joined(c, tmp_path / "web01")
    before = (folder / "agent.pem").read_bytes()
    token = await c.controller.create_token()
    status, printed = await command(*JOIN, "--token", token, "--state", folder)
    assert status == 1
    assert "enrolled already, as 'web01'" in printed
    assert (folder / "agent.pem").read_bytes() == before


async def test_an_agent_that_was_never_enrolled_says_how_to(tmp_path: Path) -> None:
    status, printed = await command(sys.executable, "-m", "pybible.agent.cli", "run", "--state", tmp_path / "none")
    assert status == 1
    assert "pybible-agent join" in printed
    assert not (tmp_path / "none").exists()


async def test_tasks_run_on_a_joined_agent(c: RunningController, tmp_path: Path) -> None:
    folder = await joined(c, tmp_path / "web01")
    async with running_agent(folder):
        await attached(c)
        async with run(c) as ctl:
            [ping] = await ctl.submit("web01")
            assert (await ctl.result_of(ping))["ping"] == "pong"
            [shell] = await ctl.submit("web01", module="shell", args={"_raw_params": "echo $((6 * 7))"})
            assert (await ctl.result_of(shell))["stdout"] == "42"
            await ctl.finish()


@pytest.mark.parametrize(
    ("module", "args", "timeout", "reason", "words"),
    [
        ("ping", {"data": "crash"}, 0.0, "internal_error", "boom"),
        ("shell", {"_raw_params": "kill -9 $PPID"}, 0.0, "worker_died", "signal SIGKILL"),
        ("shell", {"_raw_params": "kill -SEGV $PPID"}, 0.0, "worker_died", "signal SIGSEGV"),
        ("command", {"_raw_params": "sleep 60"}, 1.0, "timed_out", "Timed out after 1 second"),
        ("nonesuch", {}, 0.0, "unknown_module", "no module 'nonesuch'"),
        ("shell", {"_raw_params": "echo garbage > /proc/$PPID/fd/1"}, 0.0, "", ""),
        ("command", {"argv": ["printf", "%020000000d", "0"]}, 0.0, "", ""),
    ],
    ids=["raises", "kills-its-worker", "segfault", "endless", "unknown", "garbage", "20MB"],
)
async def test_a_module_that_goes_wrong_is_that_tasks_result_and_no_more(
    c: RunningController, tmp_path: Path, module: str, args: dict[str, object], timeout: float, reason: str, words: str
) -> None:
    folder = await joined(c, tmp_path / "web01")
    async with running_agent(folder):
        await attached(c)
        async with run(c) as ctl:
            [odd] = await ctl.submit("web01", module=module, args=args, timeout=timeout)
            ended = await ctl.end_of(odd)
            if not ended.HasField("blob"):
                result = await ctl.result_of(odd)
                assert result.get("reason", "") == reason, result
                assert words in str(result.get("msg", ""))
                if "garbage" in str(args):
                    assert "garbage" in str(result["warnings"])
            else:
                assert ended.blob.size > 20_000_000
            [after] = await ctl.submit("web01")
            assert (await ctl.result_of(after))["ping"] == "pong"
            await ctl.finish()


async def test_a_killed_agent_interrupts_its_task_when_it_is_back(c: RunningController, tmp_path: Path) -> None:
    folder = await joined(c, tmp_path / "web01")
    async with run(c) as ctl:
        async with running_agent(folder) as agent:
            await attached(c)
            [task] = await ctl.submit("web01", module="command", args={"_raw_params": "sleep 60"})
            await asyncio.sleep(0.5)
            await agent.kill()
        async with running_agent(folder):
            result = await ctl.result_of(task)
            assert (result["failed"], result["reason"]) == (True, "interrupted")
            [after] = await ctl.submit("web01")
            assert (await ctl.result_of(after))["ping"] == "pong"
        await ctl.finish()


async def test_agents_come_back_by_themselves_when_the_controller_does(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        folder = await joined(c, tmp_path / "web01")
        address = c.agent_address
    async with running_agent(folder):
        await asyncio.sleep(0.5)
        async with controller(tmp_path, listen=address) as c:
            await attached(c)
            async with run(c) as ctl:
                [ping] = await ctl.submit("web01")
                assert (await ctl.result_of(ping))["ping"] == "pong"
                await ctl.finish()
        async with controller(tmp_path, listen=address) as c:
            await attached(c)


async def test_an_agent_needs_no_more_than_the_base_install(c: RunningController, tmp_path: Path) -> None:
    folder = await joined(c, tmp_path / "web01")
    packages = "jinja2 yaml sqlalchemy alembic click rich grpc_health grpc_reflection pybible.server"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name in {packages.split()!r}:\n"
        "            raise ModuleNotFoundError(f'{name} is not for agents')\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    status, printed = await command("env", f"PYTHONPATH={tmp_path / 'site'}", sys.executable, "-c", "import jinja2")
    assert (status, "is not for agents" in printed) == (1, True)
    async with running_agent(folder, environment={"PYTHONPATH": str(tmp_path / "site")}):
        await attached(c)
        async with run(c) as ctl:
            [facts] = await ctl.submit("web01", module="setup")
            assert "ansible_facts" in (await ctl.result_of(facts))
            await ctl.finish()


async def test_an_agent_outlives_its_first_certificate(tmp_path: Path) -> None:
    async with controller(tmp_path, agent_certificate_ttl=6.0) as c:
        folder = await joined(c, tmp_path / "web01")
        expires = json.loads((folder / "agent.json").read_bytes())["expires"]
        async with running_agent(folder), run(c) as ctl:
            await attached(c)
            [task] = await ctl.submit("web01", module="command", args={"_raw_params": "sleep 7"})
            result = await ctl.result_of(task)
            assert result.get("rc") == 0, result
            assert json.loads((folder / "agent.json").read_bytes())["expires"] > expires
            [ping] = await ctl.submit("web01")
            assert (await ctl.result_of(ping))["ping"] == "pong"
            await ctl.finish()
