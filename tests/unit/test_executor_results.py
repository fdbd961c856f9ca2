"""test_executor_results: what a task's result is, how it counts, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.hygiene import CENSORED
from pybible.server.engine.executor.options import RunOptions
from pybible.server.results.events import HostResult, ItemResult, Retry, Status
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import TaskSpec
from tests.support.fake_dispatcher import Answer
from tests.support.plays import play


def failing_on(*hosts: str) -> Answer:
    """Answers of which those of these hosts are failures."""

    def answer(target: Target, spec: TaskSpec) -> Outcome:
        if target.host in hosts:
            return Outcome(result={"failed": True, "changed": False, "msg": "no"})
        return Outcome(result={"changed": spec.module == "command", "rc": 0, "stdout": "one\ntwo", "stderr": ""})

    return answer


async def test_a_result_is_registered_with_its_lines_and_without_what_is_the_engine_s(tmp_path: Path) -> None:
    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(
            result={"changed": True, "stdout": "one\ntwo", "_ansible_x": 1, "invocation": {"module_args": {}}}
        )

    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - command: x
              register: r
            - set_fact: {extra: "{{ r._ansible_x is defined or r.invocation is defined }}"}
            - debug: msg="{{ r.stdout_lines | length }} {{ extra }} {{ r.failed }}"
        """,
        answer=answer,
    )

    assert played.results("h1")[-1].result["msg"] == "2 False False"


async def test_what_a_host_answers_is_never_a_template(tmp_path: Path) -> None:
    evil = "{{ lookup('pipe', 'touch " + str(tmp_path / "evil") + "') }}"

    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(result={"changed": False, "stdout": evil, "ansible_facts": {"ansible_evil": evil}})

    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - command: x
              register: r
            - set_fact: {again: "{{ r.stdout }}"}
            - debug: msg="{{ again }} {{ ansible_facts.evil }} {{ r }}"
            - debug: var=again
        """,
        answer=answer,
    )

    assert not (tmp_path / "evil").exists()
    assert played.results("h1")[-1].result["again"] == evil


async def test_a_skipped_task_says_why_and_is_registered(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - ping:
              when: [true, "1 == 2"]
              register: r
            - debug: msg={{ r is skipped }}
        """,
    )
    skipped, shown = played.results("h1")

    assert skipped.status is Status.SKIPPED
    assert skipped.result == {
        "changed": False,
        "skipped": True,
        "skip_reason": "Conditional result was False",
        "false_condition": "1 == 2",
    }
    assert shown.result["msg"] is True
    assert not played.dispatcher.sent


@pytest.mark.parametrize(
    ("conditions", "status", "changed"),
    [
        ("changed_when: false", Status.OK, False),
        ("changed_when: r.rc == 0", Status.OK, True),
        ("failed_when: r.rc == 0", Status.FAILED, True),
        ("failed_when: [r.rc == 0, false]", Status.OK, True),
        ("changed_when: nothing_of_that_name", Status.FAILED, True),
        ("failed_when: nothing_of_that_name", Status.FAILED, True),
    ],
)
async def test_changed_when_and_failed_when_judge_the_result(
    tmp_path: Path, conditions: str, status: Status, changed: bool
) -> None:
    played = await play(
        tmp_path,
        f"""
        - hosts: h1
          gather_facts: false
          tasks:
            - command: x
              register: r
              {conditions}
        """,
        answer=failing_on(),
    )
    result = played.results("h1")[0]

    assert (result.status, result.changed) == (status, changed)


async def test_until_tries_again_and_tells_of_each_retry(tmp_path: Path) -> None:
    tries = iter(["no", "no", "yes"])

    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        return Outcome(result={"changed": False, "stdout": next(tries)})

    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - command: x
              register: r
              until: r.stdout == 'yes'
              retries: 5
              delay: 0
        """,
        answer=answer,
    )
    result = played.results("h1")[0]

    assert result.result["attempts"] == 3
    assert [event.retries_left for event in played.events if isinstance(event, Retry)] == [5, 4]


async def test_until_that_is_never_true_fails(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - ping:
              until: false
              retries: 2
              delay: 0
        """,
    )

    assert played.results("h1")[0].result["attempts"] == 2
    assert len(played.dispatcher.sent) == 3
    assert played.outcome.exit_status == 2


async def test_a_loop_is_one_result_with_all_its_items(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - command: echo {{ item }}
              loop: [a, b]
              when: item == 'a'
              register: r
              loop_control: {index_var: i, label: "L{{ item }}"}
            - debug: msg="{{ r.results | map(attribute='item') | list }} {{ r.changed }} {{ r.results[1].skipped }}"
        """,
        answer=failing_on(),
    )
    items = [event for event in played.events if isinstance(event, ItemResult)]

    assert [(event.item, event.status) for event in items] == [("La", Status.OK), ("Lb", Status.SKIPPED)]
    assert played.results("h1")[0].loop
    assert played.results("h1")[1].result["msg"] == "['a', 'b'] True True"
    assert played.counts() == {"h1": "ok=2 changed=1"}


async def test_the_items_of_a_loop_go_on_after_one_that_failed(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - fail: msg={{ item }}
              when: item == 1
              loop: [1, 2]
            - debug: msg=never
        """,
    )

    assert len([event for event in played.events if isinstance(event, ItemResult)]) == 2
    assert played.results("h1")[0].result["msg"] == "One or more items failed"
    assert len(played.results("h1")) == 1


async def test_no_log_hides_results_from_events_and_not_from_the_play(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - command: echo secret
              no_log: true
              register: r
            - command: echo {{ item }}
              loop: [secret]
              no_log: true
            - fail: msg=secret
              no_log: true
              ignore_errors: true
            - debug: msg={{ r.stdout | length }}
        """,
        answer=lambda target, spec: Outcome(result={"changed": False, "stdout": "secret", "msg": "secret"}),
    )
    first = played.results("h1")[0]

    assert first.result == {"censored": CENSORED, "changed": False}
    assert not any(
        "secret" in str(event.result) for event in played.events if isinstance(event, HostResult | ItemResult)
    )
    assert played.results("h1")[-1].result["msg"] == 6
    assert all(sent.spec.no_log for sent in played.dispatcher.sent)


async def test_an_unreachable_host_is_out_and_an_ignored_one_is_not(tmp_path: Path) -> None:
    def answer(target: Target, _spec: TaskSpec) -> Outcome:
        gone = target.host != "h1"
        return Outcome(result={"msg": "no agent"}, reason=Reason.NOT_CONNECTED, unreachable=True) if gone else Outcome()

    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks:
            - ping:
              ignore_unreachable: "{{ inventory_hostname == 'h3' }}"
            - debug: msg=on
        """,
        answer=answer,
    )

    assert played.counts() == {"h1": "ok=2", "h2": "unreachable=1", "h3": "ok=2 ignored=1"}
    assert played.outcome.exit_status == 4


async def test_an_agent_that_was_lost_is_an_ordinary_failure(tmp_path: Path) -> None:
    def answer(target: Target, spec: TaskSpec) -> Outcome:
        if target.host == "h1" and spec.module == "command":
            lost = {"failed": True, "agent_lost": True, "msg": "the agent was lost", "reason": "lost_mid_task"}
            return Outcome(result=lost, reason=Reason.LOST_MID_TASK)
        return Outcome(result={"changed": False})

    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks:
            - block:
                - command: x
              rescue:
                - debug: msg={{ ansible_failed_result.agent_lost }}
        """,
        answer=answer,
    )

    assert played.counts()["h1"] == "ok=1 rescued=1"
    assert played.results("h1")[-1].result["msg"] is True


async def test_an_exception_in_the_engine_is_that_host_s_failure(tmp_path: Path) -> None:
    def answer(target: Target, _spec: TaskSpec) -> Outcome:
        if target.host == "h2":
            raise ZeroDivisionError("boom")
        return Outcome(result={"changed": False})

    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks:
            - ping:
            - debug: msg=on
        """,
        answer=answer,
    )

    assert "boom" in played.results("h2")[0].result["msg"]
    assert played.counts() == {"h1": "ok=2", "h2": "failed=1", "h3": "ok=2"}


async def test_a_task_s_own_time_limit_is_said_as_such(tmp_path: Path) -> None:
    def answer(_target: Target, spec: TaskSpec) -> Outcome:
        assert spec.timeout == 2
        return Outcome(result={"failed": True, "msg": "late"}, reason=Reason.TIMED_OUT)

    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - command: sleep 9
              timeout: 2
              register: r
              ignore_errors: true
            - debug: msg={{ r.timedout.period }}
        """,
        answer=answer,
    )
    late, shown = played.results("h1")

    assert late.result["msg"] == "Task failed: Timed out after 2 second(s)."
    assert late.ignored
    assert shown.result["msg"] == 2


async def test_check_mode_and_environment_and_become_travel_with_the_task(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          become: true
          environment: {A: outer, B: "{{ 1 + 1 }}"}
          tasks:
            - command: x
              environment: {A: inner}
              become_user: app
            - ping:
              check_mode: false
              become: false
              throttle: 3
        """,
        options=RunOptions(check=True, diff=True),
    )
    first, second = played.dispatcher.sent

    assert first.spec.environment == {"A": "inner", "B": "2"}
    assert first.spec.become is not None
    assert first.spec.become.user == "app"
    assert (first.spec.check, first.spec.diff) == (True, True)
    assert (second.spec.check, second.spec.become, second.throttle) == (False, None, 3)
