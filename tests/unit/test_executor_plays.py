"""test_executor_plays: whole plays through the engine: order, hosts that are out, handlers, includes, delegation."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybible.server.engine.dispatcher import Outcome, Target
from pybible.server.engine.executor.options import RunOptions
from pybible.server.results.events import Included, NoHostsMatched, NoHostsRemaining, PlayStarted, TaskStarted
from pybible.wire.errors import ConnectionFailed, ExitStatus, PybibleError
from pybible.wire.tasks import TaskSpec
from tests.support.plays import play


def changes(_target: Target, _spec: TaskSpec) -> Outcome:
    """Everything changes something."""
    return Outcome(result={"changed": True})


async def test_every_host_ends_a_task_before_any_begins_the_next(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks:
            - {name: one, ping: }
            - {name: two, ping: }
        """,
    )

    assert played.order() == ["h1 one", "h2 one", "h3 one", "h1 two", "h2 two", "h3 two"]
    assert played.dispatcher.finished == (0, "")


async def test_hosts_that_failed_miss_later_plays(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks:
            - fail:
              when: inventory_hostname == 'h2'
        - hosts: all
          gather_facts: false
          tasks:
            - debug: msg="{{ ansible_play_hosts }} {{ ansible_play_hosts_all | length }}"
        """,
    )

    assert played.results()[-1].result["msg"] == "['h1', 'h3'] 3"
    assert played.counts() == {"h1": "ok=1 skipped=1", "h2": "failed=1", "h3": "ok=1 skipped=1"}
    assert played.outcome.exit_status == ExitStatus.HOSTS_FAILED


async def test_no_later_play_begins_when_all_hosts_of_a_batch_failed(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks: [{fail: }]
        - hosts: all
          gather_facts: false
          tasks: [{ping: }]
        """,
    )

    assert len([event for event in played.events if isinstance(event, PlayStarted)]) == 1


async def test_a_play_without_hosts_is_passed_over(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: nobody
          tasks: [{ping: }]
        - hosts: h1
          gather_facts: false
          tasks: [{ping: }]
        """,
    )

    assert any(isinstance(event, NoHostsMatched) for event in played.events)
    assert played.counts() == {"h1": "ok=1"}


async def test_serial_runs_the_whole_play_for_each_batch(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          serial: [1, "100%"]
          tasks:
            - {name: one, ping: , notify: h}
            - {name: two, debug: {msg: "{{ ansible_play_batch }}"}}
          handlers:
            - {name: h, ping: }
        """,
        answer=changes,
    )

    assert played.order() == [
        *("h1 one", "h1 two", "h1 h"),
        *("h2 one", "h3 one", "h2 two", "h3 two", "h2 h", "h3 h"),
    ]


async def test_too_many_failures_end_the_run(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          max_fail_percentage: 30
          tasks:
            - fail:
              when: inventory_hostname == 'h2'
            - ping:
        - hosts: all
          tasks: [{ping: }]
        """,
    )

    assert not played.dispatcher.sent
    assert any(isinstance(event, NoHostsRemaining) for event in played.events)
    assert played.outcome.exit_status == ExitStatus.HOSTS_FAILED


async def test_what_runs_once_counts_for_all(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks:
            - command: x
              run_once: true
              register: r
            - debug: msg={{ r.changed }}
        """,
        answer=changes,
    )

    assert len(played.dispatcher.sent) == 1
    assert [result.result["msg"] for result in played.results()[1:]] == [True, True, True]
    assert played.counts() == {"h1": "ok=2 changed=1", "h2": "ok=1", "h3": "ok=1"}


async def test_handlers_run_once_in_the_order_of_their_definition(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - {name: t, command: x, notify: [late, topic]}
            - {name: u, command: x, notify: late}
          handlers:
            - {name: early, ping: , listen: topic}
            - {name: late, ping: }
        """,
        answer=changes,
    )

    assert played.order() == ["h1 t", "h1 u", "h1 early", "h1 late"]


async def test_a_handler_that_does_not_exist_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(PybibleError, match="The requested handler 'nope' was not found"):
        await play(
            tmp_path,
            """
            - hosts: h1
              gather_facts: false
              tasks:
                - {command: x, notify: nope}
            """,
            answer=changes,
        )


@pytest.mark.parametrize(("force", "handled"), [(False, False), (True, True)])
async def test_handlers_of_a_failed_host_run_only_when_forced(tmp_path: Path, force: bool, handled: bool) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - {name: t, command: x, notify: h}
            - fail:
          handlers:
            - {name: h, ping: }
        """,
        answer=changes,
        options=RunOptions(force_handlers=force),
    )

    assert ("h1 h" in played.order()) is handled
    assert played.outcome.exit_status == ExitStatus.HOSTS_FAILED


async def test_hosts_that_include_the_same_share_it(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks:
            - include_tasks: "{{ 'b.yml' if inventory_hostname is match('h2') else 'a.yml' }}"
            - include_tasks: a.yml
              loop: [1, 2]
              loop_control: {loop_var: n}
              when: n == 2
        """,
        files={"a.yml": "- {name: 'a {{ n | default(0) }}', ping: }", "b.yml": "- {name: b, ping: }"},
    )
    included = [(Path(event.name).name, event.hosts) for event in played.events if isinstance(event, Included)]

    assert included == [("a.yml", ("h1", "h3")), ("b.yml", ("h2",)), ("a.yml", ("h1", "h2", "h3"))]
    assert [line for line in played.order() if "include" not in line] == [
        *("h1 a 0", "h3 a 0", "h2 b"),
        *("h1 a 2", "h2 a 2", "h3 a 2"),
    ]
    assert played.counts()["h2"] == "ok=4"


async def test_a_file_that_is_not_there_is_the_failure_of_those_who_include_it(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks:
            - block:
                - include_tasks: nope.yml
                  when: inventory_hostname == 'h1'
              rescue:
                - {name: rescued, ping: }
        """,
    )

    assert "h1 rescued" in played.order()
    assert played.counts()["h1"] == "ok=1 failed=1"
    assert played.outcome.exit_status == ExitStatus.OK


async def test_a_delegated_task_runs_elsewhere_and_counts_here(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1,h2
          gather_facts: false
          tasks:
            - {ping: , delegate_to: h3}
            - {ping: , delegate_to: localhost}
            - {ping: , connection: local}
            - {ping: , vars: {pybible_agent: other}}
        """,
    )

    assert [(sent.target.host, sent.target.agent) for sent in played.dispatcher.sent if sent.target.host == "h1"] == [
        ("h1", "h3"),
        ("h1", ""),
        ("h1", ""),
        ("h1", "other"),
    ]
    assert [result.label for result in played.results("h1")] == ["h1 -> h3", "h1 -> localhost", "h1", "h1"]


async def test_free_lets_a_host_go_on_alone(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          strategy: free
          tasks:
            - {name: one, ping: }
            - {name: two, ping: , when: inventory_hostname != 'h1'}
            - {name: three, debug: }
        """,
    )
    order = played.order()

    for host in ("h1", "h2", "h3"):
        assert [line for line in order if line.startswith(host)] == [
            f"{host} {name}" for name in ("one", "two", "three")
        ]
    banners = [event.name for event in played.events if isinstance(event, TaskStarted)]
    assert len(banners) > 3


async def test_facts_are_gathered_first_and_used(tmp_path: Path) -> None:
    def answer(_target: Target, spec: TaskSpec) -> Outcome:
        assert spec.module == "setup"
        return Outcome(result={"changed": False, "ansible_facts": {"ansible_os_family": "Debian"}})

    played = await play(
        tmp_path,
        """
        - hosts: h1
          tasks:
            - debug: msg="{{ ansible_os_family }} {{ ansible_facts.os_family }}"
        """,
        answer=answer,
    )

    assert played.order()[0] == "h1 Gathering Facts"
    assert played.results("h1")[-1].result["msg"] == "Debian Debian"


@pytest.mark.parametrize(("force", "runs"), [("never", ["h1 b"]), ("x", ["h1 a"]), ("", ["h1 a"])])
async def test_tags_choose_tasks(tmp_path: Path, force: str, runs: list[str]) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks:
            - {name: a, ping: , tags: x}
            - {name: b, ping: , tags: never}
        """,
        options=RunOptions(tags=(force,) if force else ()),
    )

    assert played.order() == runs


async def test_a_run_that_is_cancelled_ends_after_the_task(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks: [{ping: }, {ping: }]
        """,
        cancel_after=1,
    )

    assert len(played.dispatcher.sent) == 1
    assert played.outcome.exit_status == ExitStatus.RUN_INTERRUPTED
    assert played.dispatcher.finished == (ExitStatus.RUN_INTERRUPTED, "cancelled by test")


async def test_a_controller_that_is_gone_ends_the_run_with_its_error(tmp_path: Path) -> None:
    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        raise ConnectionFailed("the controller is gone")

    with pytest.raises(ConnectionFailed, match="the controller is gone"):
        await play(tmp_path, "[{hosts: all, gather_facts: false, tasks: [{ping: }]}]", answer=answer)


async def test_the_engine_keeps_few_host_tasks_under_way(tmp_path: Path) -> None:
    hosts = [f"w{number}" for number in range(90)]
    played = await play(
        tmp_path,
        """
        - hosts: all
          gather_facts: false
          tasks: [{ping: }]
        """,
        hosts=hosts,
        options=RunOptions(forks=2),
    )

    assert len(played.dispatcher.sent) == 90
    assert played.dispatcher.most_out <= 68


async def test_meta_refreshes_the_inventory(tmp_path: Path) -> None:
    def answer(_target: Target, _spec: TaskSpec) -> Outcome:
        (tmp_path / "hosts.ini").write_text("h1\nnew\n")
        return Outcome(result={"changed": False})

    played = await play(
        tmp_path,
        """
        - hosts: h1
          gather_facts: false
          tasks: [{ping: }, {meta: refresh_inventory}]
        - hosts: new
          gather_facts: false
          tasks: [{debug: }]
        """,
        answer=answer,
    )

    assert played.counts() == {"h1": "ok=1", "new": "ok=1"}


@pytest.mark.parametrize(
    ("connection", "agent"),
    [("local", ""), ("ansible.builtin.local", ""), ("ssh", "h1"), ("smart", "h1"), ("paramiko_ssh", "h1"),
     ("ansible.builtin.ssh", "h1"), ("pybible", "h1"), ("'{{ \"lo\" ~ \"cal\" }}'", "")],
)  # fmt: skip
async def test_a_connection_says_where_tasks_run(tmp_path: Path, connection: str, agent: str) -> None:
    written = f"- hosts: all\n  gather_facts: false\n  connection: {connection}\n  tasks: [{{ping: }}]\n"
    played = await play(tmp_path, written, hosts=["h1"])
    assert [sent.target.agent for sent in played.dispatcher.sent] == [agent]


async def test_a_connection_that_there_is_not_fails_the_task_on_its_host(tmp_path: Path) -> None:
    tasks = "[{ping: , connection: docker, ignore_errors: true}, {ping: , connection: docker, when: false}]"
    played = await play(tmp_path, f"- {{hosts: all, gather_facts: false, tasks: {tasks}}}", hosts=["h1"])
    assert played.counts() == {"h1": "ok=1 skipped=1 ignored=1"}
    assert "the connection 'docker' is not supported" in str(played.results("h1")[0].result["msg"])


async def test_an_empty_list_of_hosts_means_nobody(tmp_path: Path) -> None:
    played = await play(tmp_path, "- {hosts: '{{ [] }}', gather_facts: false, tasks: [{ping: }]}", hosts=["h1"])
    assert played.counts() == {}
    assert any(isinstance(event, NoHostsMatched) for event in played.events)


async def test_a_variable_that_names_no_connection_fails_its_host(tmp_path: Path) -> None:
    played = await play(
        tmp_path,
        "- {hosts: all, gather_facts: false, tasks: [{ping: }]}",
        hosts=["h1", "h2 ansible_connection=docker", "h3 ansible_connection=ssh"],
    )
    assert played.counts() == {"h1": "ok=1", "h2": "failed=1", "h3": "ok=1"}
    (failed,) = played.results("h2")
    assert "the connection 'docker' is not supported" in str(failed.result["msg"])


async def test_tasks_on_the_control_node_begin_beside_the_playbook(tmp_path: Path) -> None:
    played = await play(
        tmp_path, "[{hosts: h1, gather_facts: false, tasks: [{command: pwd, delegate_to: localhost}, {command: pwd}]}]"
    )
    assert [sent.spec.directory for sent in played.dispatcher.sent] == [str(tmp_path), ""]
