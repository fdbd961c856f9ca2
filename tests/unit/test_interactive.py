"""test_interactive: --step and the debugger: what the operator says about tasks while they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.options import RunOptions
from pybible.server.engine.executor.stepping import NoAnswer
from pybible.server.results.events import HostResult, Message
from pybible.wire.tasks import TaskSpec
from pybible.wire.values import loads_object
from tests.support.plays import play

STEPS = """
- hosts: all
  gather_facts: false
  strategy: %s
  tasks:
    - {name: one, ping: }
    - meta: noop
    - debug: msg=two
    - {name: three, ping: }
"""


def asked(name: str, host: str = "") -> str:
    return f"Perform task: TASK: {name} {f'on {host} ' if host else ''}(N)o/(y)es/(c)ontinue:"


async def test_tasks_run_as_the_operator_says(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        STEPS % "linear",
        hosts=("h1", "h2"),
        options=RunOptions(step=True),
        answers={asked("one"): ["y"], asked("debug"): ["no"], asked("three"): ["YES"]},
    )
    assert played.order() == ["h1 one", "h2 one", "h1 three", "h2 three"]


async def test_the_operator_may_be_asked_no_more(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        STEPS % "linear",
        hosts=("h1",),
        options=RunOptions(step=True),
        answers={asked("one"): [""], asked("debug"): ["c"]},
    )
    assert played.order() == ["h1 debug", "h1 three"]


async def test_each_host_has_its_question_when_hosts_go_at_their_own_pace(tmp_path: Path) -> None:
    questions = {
        asked(name, host): ["y" if host == "h1" else "n"] for name in ("one", "debug", "three") for host in ("h1", "h2")
    }
    played = await play(tmp_path, STEPS % "free", hosts=("h1", "h2"), options=RunOptions(step=True), answers=questions)
    assert played.order() == ["h1 one", "h1 debug", "h1 three"]


async def test_without_an_answer_the_run_ends(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match="--step needs an answer for each task"):
        await play(tmp_path, STEPS % "linear", options=RunOptions(step=True), answers={asked("one"): []})


BROKEN = """
- hosts: h1
  gather_facts: false
  strategy: debug
  vars: {what: bad}
  tasks:
    - name: one
      command: "{{ what }}"
      register: r
    - debug: msg="{{ r.stdout }}"
"""


def shell(_target: Target, spec: TaskSpec) -> Outcome:
    """Fail for the command `bad`, and tell any other."""
    command = loads_object(spec.args)["_raw_params"]
    if command == "bad":
        return Outcome(result={"failed": True, "changed": False, "msg": "no", "rc": 1})
    return Outcome(result={"changed": True, "rc": 0, "stdout": command})


ONE = "[h1] TASK: one (debug)>"


async def test_a_failed_task_is_looked_at_and_left(tmp_path: Path) -> None:
    lines = ["p task", "p result.rc", "p task.args", "p task_vars['what']", "p nothing", "x = 1", "help", "", "c"]
    played = await play(tmp_path, BROKEN, answer=shell, answers={ONE: lines})

    said = [event.text for event in played.events if isinstance(event, Message)]
    assert said[:4] == ["TASK: one", "1", "{'_raw_params': 'bad'}", "'bad'"]
    assert said[4].startswith("***")
    assert "'nothing' is undefined" in said[4]
    assert said[5] == "***ValueError: only task.args[NAME] and task_vars[NAME] can be set"
    assert played.counts() == {"h1": "failed=1"}


async def test_a_task_is_run_again_with_other_arguments(tmp_path: Path) -> None:
    lines = ["task.args['_raw_params'] = 'good'", "r"]
    played = await play(tmp_path, BROKEN, answer=shell, answers={ONE: lines})

    assert played.results("h1")[-1].result["msg"] == "good"
    assert played.counts() == {"h1": "ok=2 changed=1"}


async def test_a_task_is_run_again_with_other_variables_once_it_was_updated(tmp_path: Path) -> None:
    lines = ["task_vars['what'] = 'good'", "r", "u", "r"]
    played = await play(tmp_path, BROKEN, answer=shell, answers={ONE: lines})

    assert played.results("h1")[-1].result["msg"] == "good"
    assert [spec.module for spec in (sent.spec for sent in played.dispatcher.sent)] == ["command"] * 3


@pytest.mark.parametrize("last", [["q"], []])
async def test_the_operator_ends_the_run(tmp_path: Path, last: list[str]) -> None:
    with pytest.raises(NoAnswer, match="User interrupted execution"):
        await play(tmp_path, BROKEN, answer=shell, answers={ONE: last})


@pytest.mark.parametrize(
    ("when", "task", "asks"),
    [
        ("always", "debug: msg=x", True),
        ("on_failed", "fail:", True),
        ("on_failed", "debug: msg=x", False),
        ("on_skipped", "debug: msg=x\n      when: false", True),
        ("on_unreachable", "fail:", False),
        ("never", "fail:", False),
    ],
)
async def test_the_keyword_says_when(tmp_path: Path, when: str, task: str, asks: bool) -> None:
    text = f"""
- hosts: h1
  gather_facts: false
  strategy: debug
  tasks:
    - {task}
      name: one
      debugger: {when}
"""
    questions: dict[str, list[str]] = {ONE: ["p 'here'", "c"]} if asks else {}
    played = await play(tmp_path, text, answers=questions)
    assert any(isinstance(event, Message) and event.text == "'here'" for event in played.events) is asks


async def test_a_moment_that_the_debugger_does_not_know(tmp_path: Path) -> None:
    played = await play(tmp_path, "- hosts: h1\n  gather_facts: false\n  debugger: sometimes\n  tasks: [{ping: }]\n")
    [result] = [event for event in played.events if isinstance(event, HostResult)]
    assert "'sometimes' is not a valid value for debugger" in str(result.result["msg"])
