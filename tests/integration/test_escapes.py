"""test_escapes: whatever hosts, operators and playbooks are called and say, no terminal and no log is steered by it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import signal
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybible.server.report.visible import guarded
from pybible.v1 import agent_pb2, enrollment_pb2, enrollment_pb2_grpc, fleet_pb2, fleet_pb2_grpc
from pybible.wire.identity import JoinToken
from pybible.wire.logs import JsonFormatter, LineFormatter
from pybible.wire.values import JsonObject, dumps, loads_object
from pybible.wire.visible import is_visible, visible, visible_line
from tests.support.controller import RunningController, controller, key_and_request
from tests.support.fake_agent import FakeAgent
from tests.support.fake_ctl import run

MARK = "EVIL"
# OSC 52 (the clipboard) and 8 (links), CSI in seven and in eight bits, DCS, marks of direction, separators, and what
# goes back on the line.
EVIL = (
    f"\x1b]52;c;ZXZpbA==\x07\x1b]8;;http://x\x1b\\\x1b[2J\x1b[8m\x9b31m\x90q\x9c\x85\u202e{MARK}\u202c"
    "\u2066\u2069\u200e\u200f\u061c\u2028\u2029\b\x7f\r"
)
# What stands in a line of its own when nobody spells the newline out.
SPOOF = "spoofed"
NAME = f"{EVIL}\n{SPOOF}"
# Without brackets, which would be a range.
HOST = f"\x1bc\x9b31m\u202e{MARK}\u200f\b\n{SPOOF}"

PLAYBOOK = f"""
- hosts: all
  gather_facts: true
  tasks:
    - command: ok
      diff: true
    - command: fail
      ignore_errors: true
    - command: ok
      loop: [{json.dumps(EVIL)}]
    - debug: {{msg: {json.dumps(EVIL)}}}
    - debug: {{var: ansible_evil}}
    - command: refuse
      ignore_errors: true
    - fail: {{msg: {json.dumps(EVIL)}}}
      ignore_errors: true
    - command: garbage
"""
RESULTS: dict[str, JsonObject] = {
    "ok": {
        "changed": True,
        "stdout": EVIL,
        "stderr": EVIL,
        "rc": 0,
        "warnings": [EVIL],
        "deprecations": [{"msg": EVIL, "version": EVIL}],
        EVIL: EVIL,
        "diff": {"before": "a\n", "after": f"{EVIL}\n", "before_header": EVIL},
    },
    "fail": {"failed": True, "msg": EVIL, "stdout": EVIL, "rc": 1, "exception": EVIL, "module_stderr": EVIL},
}


# Has the command loaded, and becomes it for each line: words, environment. What it writes is in the file.
FORKS = """
import importlib, json, os, sys
for name in ("main", "run", "playing", "agents", "runs", "inventory"):
    importlib.import_module("pybible.server.cli." + name)
from pybible.server.entry import ctl
for line in sys.stdin:
    words, environment, path = json.loads(line)
    child = os.fork()
    if not child:
        sys.argv[1:] = words
        os.environ.update(environment)
        output = os.open(path, os.O_WRONLY | os.O_CREAT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for new, old in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(new, old)
        try:
            ctl()
        finally:
            sys.stdout.flush()
            os._exit(0)
    os.waitpid(child, 0)
    print(flush=True)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A controller whose agents and operators are called and say what they should not, and a project for it."""

    running: RunningController
    project: Path
    process: asyncio.subprocess.Process

    async def ctl(self, *words: str, **environment: str) -> str:
        """Run pybible-ctl and return what it wrote, on both streams."""
        output = self.project / "output"
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(dumps([words, environment, str(output)]) + b"\n")
        async with asyncio.timeout(60):
            assert await self.process.stdout.readline()
        text = output.read_bytes().decode()
        output.unlink()
        return text


@asynccontextmanager
async def commands(running: RunningController, project: Path) -> AsyncIterator[Place]:
    """Have pybible-ctl at hand."""
    base = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FORKS),
        cwd=project,
        env={
            **base,
            "HOME": str(project),
            "GRPC_ENABLE_FORK_SUPPORT": "0",
            "PYBIBLE_CONTROLLER": f"unix:{running.socket_path}",
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Place(running, project, process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def evil_agent(running: RunningController) -> FakeAgent:
    """Attach one that says of itself what it should not."""
    holder = await running.enrol("evil")
    agent = FakeAgent(running.channel(holder), incarnation="i")
    hello = agent_pb2.Hello(
        protocol_min=1,
        protocol_max=1,
        version=NAME,
        incarnation="i",
        boot_id=NAME,
        modules=["command", "setup", NAME],
        slots=10,
        hostname=NAME,
        policy=[NAME],
    )
    await agent.send(agent_pb2.AgentMessage(hello=hello))
    return agent


async def answer(agent: FakeAgent) -> None:
    """Answer each task as its command says."""
    while True:
        with suppress(TimeoutError):
            dispatch = await agent.dispatch()
            attempt_id = dispatch.attempt_id
            command = str(loads_object(dispatch.task.args).get("_raw_params", ""))
            if command == "refuse":
                reason = agent_pb2.Rejected.REASON_POLICY_DENIED
                rejected = agent_pb2.Rejected(attempt_id=attempt_id, reason=reason, message=EVIL)
                await agent.send(agent_pb2.AgentMessage(rejected=rejected))
                continue
            await agent.accept(dispatch)
            await agent.output(attempt_id, f"{EVIL}\n".encode())
            if command == "garbage":
                await agent.result(attempt_id, EVIL.encode())
            elif dispatch.task.module == "setup":
                await agent.result(attempt_id, dumps({"ansible_facts": {"ansible_evil": NAME, NAME: NAME}}))
            else:
                await agent.result(attempt_id, dumps(RESULTS.get(command, {"changed": False})))


async def tell_the_rest(running: RunningController) -> None:
    """Have hosts that wait, tokens and runs with such names."""
    request = enrollment_pb2.EnrollRequest(
        csr=key_and_request()[1], name="waits", hostname=NAME, version=NAME, facts={"os": NAME, NAME: NAME}
    )
    async with running.enrollment_channel() as channel:
        await enrollment_pb2_grpc.EnrollmentServiceStub(channel).Enroll(request)
    secret = await running.controller.create_token()
    assert JoinToken.decode(secret).secret
    async with running.operator_channel() as channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        for labels in ({"a": NAME}, {NAME: "a"}):
            with suppress(Exception):
                await fleet.CreateToken(fleet_pb2.CreateTokenRequest(name_pattern=f"{NAME}*", labels=labels))
        for name in (NAME, "latest"):
            with suppress(Exception):
                await fleet.RevokeAgent(fleet_pb2.RevokeAgentRequest(agent=name))
    async with run(running) as ctl:
        await ctl.submit("evil", module=NAME)
        await ctl.finish(exit_status=1, error=NAME)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    project = tmp_path / "project"
    project.mkdir()
    (project / "site.yml").write_text(PLAYBOOK)
    hosts = {"all": {"hosts": {"evil": {"fact": NAME}}}}
    (project / "hosts.yml").write_text(json.dumps(hosts))
    names = {"all": {"hosts": {HOST: {NAME: NAME}}, "children": {"web": {"hosts": {HOST: None}}}}}
    (project / "names.yml").write_text(json.dumps(names))
    (project / "bad.yml").write_text(json.dumps([{"hosts": "all", "tasks": [{NAME: {}}]}]))
    (project / "named.yml").write_text(
        json.dumps([{"hosts": "all", "name": EVIL, "gather_facts": False, "tasks": [{"name": EVIL, "command": "ok"}]}])
    )
    log = io.StringIO()
    handlers = [logging.StreamHandler(log), logging.StreamHandler(log)]
    handlers[0].setFormatter(LineFormatter())
    handlers[1].setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    for handler in handlers:
        root.addHandler(handler)
    try:
        async with controller(tmp_path) as running:
            agent = await evil_agent(running)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(agent.read()), group.create_task(answer(agent))]
                await agent.next("welcome")
                await agent.facts(zlib.compress(dumps({"ansible_facts": {"evil": NAME, NAME: [NAME]}})))
                await tell_the_rest(running)
                async with commands(running, project) as ready:
                    yield ready
                goodbye = agent_pb2.Goodbye(reason=NAME)
                await agent.send(agent_pb2.AgentMessage(goodbye=goodbye))
                await agent.cut()
                for task in tasks:
                    task.cancel()
        assert flaws(log.getvalue(), lines=True) == []
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)


# The words of a command, its environment, whether the text shows in what it writes, and whether a name may only stand
# where it belongs (error texts of hosts have lines of their own, as Ansible shows them).
RUN = ("run", "-i", "hosts.yml", "site.yml")
COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, str], bool, bool]] = {
    "agents": (("agents",), {}, True, True),
    "agents --json": (("agents", "--json"), {}, True, True),
    "agents show": (("agents", "show", "evil"), {}, True, True),
    "agents show --json": (("agents", "show", "evil", "--json"), {}, True, True),
    "agents facts": (("agents", "facts", "evil"), {}, True, True),
    "enrollments": (("enrollments",), {}, True, True),
    "enrollments --json": (("enrollments", "--json"), {}, True, True),
    "enrollments approve": (("enrollments", "approve", NAME), {}, False, True),
    "token list": (("token", "list"), {}, True, True),
    "operators": (("operators",), {}, False, True),
    "whoami": (("whoami",), {}, False, True),
    "can-i": (("can-i", NAME, "evil"), {}, False, True),
    "runs": (("runs",), {}, False, True),
    "runs show": (("runs", "show", "latest"), {}, True, True),
    "runs watch": (("runs", "watch", "latest", "-v"), {}, False, True),
    "audit": (("audit",), {}, True, True),
    "audit export": (("audit", "export"), {}, True, True),
    "inventory": (("inventory", "-i", "names.yml", "--list"), {}, True, True),
    "inventory --yaml": (("inventory", "-i", "names.yml", "--list", "--yaml"), {}, True, False),
    "inventory --graph": (("inventory", "-i", "names.yml", "--graph", "--vars"), {}, True, False),
    "plan": (("plan", "-i", "names.yml", "named.yml"), {}, True, True),
    "--list-hosts": (("run", "-i", "names.yml", "named.yml", "--list-hosts"), {}, True, False),
    "--list-tasks": (("run", "-i", "names.yml", "named.yml", "--list-tasks"), {}, True, True),
    "doc": (("doc", NAME), {}, True, False),
    "an unknown module": (("run", "-i", "hosts.yml", "bad.yml"), {}, True, False),
    "an unknown agent": (("run", "-i", "names.yml", "named.yml"), {}, True, False),
    "an unknown run": (("runs", "show", NAME), {}, True, False),
    "run": (RUN, {}, True, True),
    "run -vvv": ((*RUN, "-vvv", "--diff"), {}, True, True),
    "run, live": ((*RUN, "-v"), {"PYBIBLE_LIVE_OUTPUT": "1"}, True, True),
    "run, painted": ((*RUN, "-v", "--diff"), {"ANSIBLE_FORCE_COLOR": "1"}, True, True),
    "run --json": ((*RUN, "--json"), {}, True, True),
    "exec": (("exec", "-i", "hosts.yml", "all", "-m", "command", "-a", "ok"), {}, True, True),
    **{
        f"run, {name}": ((*RUN, "-v"), {"ANSIBLE_STDOUT_CALLBACK": name}, True, name in ("json", "oneline", "dense"))
        for name in ("minimal", "oneline", "yaml", "debug", "json", "dense")
    },
    "run, all callbacks": (
        RUN, {"ANSIBLE_CALLBACKS_ENABLED": "timer,profile_tasks,junit,tree", "ANSIBLE_LOG_PATH": "log"}, True, True,
    ),
}  # fmt: skip


def flaws(text: str, *, lines: bool) -> list[str]:
    """Return what of a text steers a terminal, and whether a line is somebody's name."""
    steering = [ascii(character) for character in sorted(set(text)) if not is_visible(character)]
    spoofed = [line for line in text.splitlines() if line.startswith(SPOOF)]
    return steering + spoofed if lines else steering


async def flaws_of(place: Place, name: str) -> list[str]:
    """Run a command of the table and return what is wrong with what it writes."""
    words, environment, shows, lines = COMMANDS[name]
    text = written = await place.ctl(*words, **environment)
    if "ANSIBLE_FORCE_COLOR" in environment:
        text = re.sub("\x1b\\[[01](;3[0-7])?m", "", text)
    if environment.get("ANSIBLE_STDOUT_CALLBACK") == "dense":
        text = text.replace("\r\x1b[2K", "")
    found = flaws(text, lines=lines)
    if "ANSIBLE_LOG_PATH" in environment:
        found += flaws((place.project / "log").read_text(), lines=False)
    if "this is a bug" in text:
        found.append("a bug")
    if shows and MARK not in text:
        found.append("nothing of it")
    return [f"{name}: {found} in {written}"] if found else []


@pytest.mark.timeout(180)
async def test_no_command_and_no_log_is_steered(place: Place) -> None:
    found = [flaw for name in COMMANDS for flaw in await flaws_of(place, name)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("formatter", [LineFormatter(), JsonFormatter()])
def test_a_record_of_a_log_is_one_whatever_is_in_it(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(NAME)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "x", 1, "said %s", (NAME,), sys.exc_info())
    record.fields = {"name": NAME}
    assert flaws(formatter.format(record), lines=True) == []


def test_ordinary_text_stays_as_it_is() -> None:
    text = "Grüße, 世界, עברית, नमस्ते, \U0001f600, e\u0301, \u00a0, \u200d\n\tx"
    assert visible(text) == text
    assert guarded(text) == text
    assert visible_line("a\tb\nc") == "a\\tb\\nc"


def test_reports_paint_and_nothing_else_does() -> None:
    assert guarded("\x1b[0;32mok\x1b[0m \x1b[8mhidden\x1b[31;1m") == "\x1b[0;32mok\x1b[0m \\x1b[8mhidden\\x1b[31;1m"
    assert guarded("\r\x1b[2Ktask\rx") == "\r\x1b[2Ktask\\rx"
