"""test_executor_async: tasks that a host runs in the background, and the wait for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.results.events import AsyncPoll, Status
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import TaskSpec
from pybible.wire.values import JsonObject, loads_object
from tests.support.plays import play

STARTED: JsonObject = {"ansible_job_id": "j1.2", "started": True, "finished": False, "changed": True}
RUNS: JsonObject = {"ansible_job_id": "j1.2", "started": True, "finished": False}
ENDED: JsonObject = {"ansible_job_id": "j1.2", "finished": True, "changed": True, "rc": 0, "stdout": "x"}


class Host:
    """Answers a start, and each look at the job with the next of `states`."""

    def __init__(self, *states: Outcome | JsonObject) -> None:
        self.states = list(states)
        self.sent: list[tuple[str, JsonObject]] = []

    def __call__(self, _target: Target, spec: TaskSpec) -> Outcome:
        arguments = loads_object(spec.args)
        self.sent.append((spec.module, arguments))
        if spec.module == "async_wrapper":
            return Outcome(result=dict(STARTED))
        if arguments.get("mode") == "cleanup":
            return Outcome(result={"ansible_job_id": "j1.2", "erased": "x"})
        state = self.states.pop(0)
        return state if isinstance(state, Outcome) else Outcome(result=dict(state))


TASK = """
- hosts: h1
  gather_facts: false
  tasks:
    - command: sleep 1
      async: "{{ 2 }}"
      poll: %s
      register: job
"""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let time pass at once. What was waited for, in seconds, is noted."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds:
            waited.append(seconds)

    monkeypatch.setattr("pybible.server.engine.executor.background.asyncio.sleep", sleep)
    return waited


async def test_a_task_that_is_not_polled_gives_its_job(tmp_path: Path) -> None:
    host = Host()
    played = await play(tmp_path, TASK % 0, answer=host)

    assert played.results("h1")[0].result["ansible_job_id"] == "j1.2"
    assert played.results("h1")[0].changed
    module, arguments = host.sent[0]
    assert (len(host.sent), module, arguments["module"], arguments["limit"]) == (1, "async_wrapper", "command", 2)
    assert arguments["arguments"]["_raw_params"] == "sleep 1"


async def test_a_polled_task_has_its_job_s_result_and_forgets_it(tmp_path: Path, no_waiting: list[float]) -> None:
    host = Host(RUNS, ENDED)
    played = await play(tmp_path, TASK % 1, answer=host)

    assert played.results("h1")[0].result["stdout"] == "x"
    assert no_waiting == [1, 1]
    polls = [event for event in played.events if isinstance(event, AsyncPoll)]
    assert [(poll.state, poll.job_id, poll.finished) for poll in polls] == [
        ("poll", "j1.2", False),
        ("ok", "j1.2", True),
    ]
    assert [arguments.get("mode") for _, arguments in host.sent] == [None, "status", "status", "cleanup"]


async def test_a_job_that_takes_longer_than_its_time(tmp_path: Path) -> None:
    played = await play(tmp_path, TASK % 1, answer=Host(RUNS, RUNS))
    failed = played.results("h1")[0]

    assert failed.status is Status.FAILED
    assert failed.result["msg"] == "async task did not complete within the requested time - 2s"
    assert failed.result["async_result"]["ansible_job_id"] == "j1.2"


async def test_a_host_that_is_away_for_a_while_is_asked_again(tmp_path: Path) -> None:
    away = Outcome(result={"failed": True, "msg": "gone"}, reason=Reason.LOST_MID_TASK.value)
    played = await play(tmp_path, TASK % 1, answer=Host(away, ENDED))

    assert played.results("h1")[0].status is Status.OK


async def test_a_host_that_stays_away_fails_the_task(tmp_path: Path) -> None:
    away = Outcome(result={"failed": True, "msg": "gone"}, reason=Reason.LOST_MID_TASK.value)
    played = await play(tmp_path, TASK % 1, answer=Host(away, away))

    assert played.results("h1")[0].result["msg"] == "gone"


@pytest.mark.parametrize("task", ["debug: msg=x", "raw: x", "copy: content=x dest=/x", "set_fact: {a: 1}"])
async def test_an_action_that_no_host_could_run_alone(tmp_path: Path, task: str) -> None:
    text = f"- hosts: h1\n  gather_facts: false\n  tasks:\n    - {task}\n      async: 2\n"
    host = Host()
    played = await play(tmp_path, text, answer=host)

    assert played.results("h1")[0].result["msg"] == f"This action ({task.split(':')[0]}) does not support async."
    assert not host.sent


async def test_a_job_s_files_lie_where_the_inventory_says(tmp_path: Path) -> None:
    host = Host(ENDED)
    text = TASK % 0 + "    - async_status: jid={{ job.ansible_job_id }}\n"
    text = text.replace("  gather_facts: false\n", "  gather_facts: false\n  vars: {ansible_async_dir: /jobs}\n")
    played = await play(tmp_path, text, answer=host)

    assert [arguments.get("directory", arguments.get("_async_dir")) for _, arguments in host.sent] == ["/jobs"] * 2
    assert played.results("h1")[1].result["results_file"] == "/jobs/j1.2"
