"""test_reboot_action: a host goes down on purpose, and its agent comes back in another boot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.options import RunOptions
from pybible.server.results.events import Status
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import TaskSpec
from pybible.wire.values import JsonObject
from tests.support.plays import Played, play


@dataclass
class Machine:
    """A host whose agent answers commands: it is away for a while after it was rebooted."""

    boot: str = "first"
    away: int = 0
    found: tuple[str, ...] = ("/sbin/shutdown",)
    refuses: bool = False
    tests_fail: int = 0
    asked: list[str] = field(default_factory=list)

    def __call__(self, _target: Target, spec: TaskSpec) -> Outcome:
        """Answer one task."""
        args: JsonObject = json.loads(spec.args)
        if spec.module == "find":
            names = args["patterns"]
            return Outcome(result={"files": [{"path": path} for path in self.found if Path(path).name in names]})
        command = str(args["_raw_params"])
        self.asked.append(command)
        if "shutdown" in command or "reboot" in command:
            return self._go_down()
        if self.boot == "second" and self.away:
            self.away -= 1
            return Outcome(result={"msg": "the agent is not connected"}, unreachable=True)
        if command == "whoami" and self.tests_fail:
            self.tests_fail -= 1
            return Outcome(result={"rc": 1, "stdout": "", "stderr": "", "failed": True})
        return Outcome(result={"rc": 0, "stdout": self.boot, "stderr": ""})

    def _go_down(self) -> Outcome:
        if self.refuses:
            return Outcome(result={"rc": 1, "stdout": "", "stderr": "not today", "failed": True})
        self.boot = "second"
        return Outcome(result={"failed": True, "agent_lost": True}, reason=Reason.LOST_MID_TASK.value)


async def rebooted(
    folder: Path, answer: Callable[[Target, TaskSpec], Outcome], args: str = "", options: RunOptions | None = None
) -> Played:
    """Run one reboot task."""
    text = f"- hosts: h1\n  gather_facts: false\n  tasks:\n    - reboot: {{{args}}}\n"
    return await play(folder, text, answer=answer, options=options)


async def test_a_host_that_comes_back_was_rebooted(tmp_path: Path) -> None:
    machine = Machine()
    result = (await rebooted(tmp_path, machine)).results("h1")[0]
    assert (result.status, result.changed) == (Status.OK, True)
    assert result.result["rebooted"] is True
    assert isinstance(result.result["elapsed"], int)
    assert machine.asked == [
        "cat /proc/sys/kernel/random/boot_id",
        '/sbin/shutdown -r 0 "Reboot initiated by Ansible"',
        "cat /proc/sys/kernel/random/boot_id",
        "whoami",
    ]


async def test_an_agent_that_is_away_is_waited_for(tmp_path: Path) -> None:
    result = (await rebooted(tmp_path, Machine(away=1))).results("h1")[0]
    assert (result.status, result.changed) == (Status.OK, True)
    assert result.result["elapsed"] >= 1


async def test_a_test_command_that_fails_at_first_is_tried_again(tmp_path: Path) -> None:
    machine = Machine(tests_fail=1)
    result = (await rebooted(tmp_path, machine)).results("h1")[0]
    assert (result.status, result.changed) == (Status.OK, True)
    assert machine.asked.count("whoami") == 2


async def test_a_host_that_stays_away_fails_when_time_is_over(tmp_path: Path) -> None:
    result = (await rebooted(tmp_path, Machine(away=9), "reboot_timeout: 0")).results("h1")[0]
    assert result.status is Status.FAILED
    assert result.result["msg"] == "Timed out waiting for last boot time check (timeout=0)"
    assert result.result["rebooted"] is True


async def test_a_refusal_is_told(tmp_path: Path) -> None:
    result = (await rebooted(tmp_path, Machine(refuses=True))).results("h1")[0]
    assert result.result["msg"] == "Reboot command failed. Error was: ', not today'"
    assert result.result["rebooted"] is False


async def test_a_host_without_the_command_is_told(tmp_path: Path) -> None:
    result = (await rebooted(tmp_path, Machine(found=()), "search_paths: [/x]")).results("h1")[0]
    assert result.result["msg"] == "Unable to find command \"shutdown\" in search paths: ['/x']"


async def test_a_host_without_shutdown_is_rebooted_by_reboot(tmp_path: Path) -> None:
    machine = Machine(found=("/sbin/reboot",))
    await rebooted(tmp_path, machine)
    assert machine.asked[1] == "/sbin/reboot"


@pytest.mark.parametrize(
    ("args", "command"),
    [
        ("pre_reboot_delay: 150, msg: 'a \"b\"'", '/sbin/shutdown -r 2 "a \\"b\\""'),
        ("reboot_command: /opt/reboot now", "/opt/reboot now"),
        ("reboot_command: shutdown -r +1", "/sbin/shutdown -r +1"),
    ],
)
async def test_the_command_is_what_the_task_says(args: str, command: str, tmp_path: Path) -> None:
    machine = Machine()
    await rebooted(tmp_path, machine, args)
    assert machine.asked[1] == command


async def test_a_host_that_was_never_there_is_unreachable(tmp_path: Path) -> None:
    def away(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(result={"msg": "the agent is not connected"}, unreachable=True)

    assert (await rebooted(tmp_path, away)).results("h1")[0].status is Status.UNREACHABLE


async def test_check_mode_reboots_nothing(tmp_path: Path) -> None:
    machine = Machine()
    result = (await rebooted(tmp_path, machine, options=RunOptions(check=True))).results("h1")[0]
    assert (result.status, result.changed) == (Status.OK, True)
    assert (result.result["rebooted"], result.result["elapsed"], machine.asked) == (True, 0, [])


async def test_the_control_node_is_not_rebooted(tmp_path: Path) -> None:
    text = "- hosts: h1\n  gather_facts: false\n  connection: local\n  tasks:\n    - reboot:\n"
    result = (await play(tmp_path, text, answer=Machine())).results("h1")[0]
    assert result.result["msg"] == "Running reboot with local connection would reboot the control node."
