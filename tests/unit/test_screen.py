"""test_screen: each form of line, as ansible-playbook 2.19.14 printed it for the playbook that makes the event."""

from __future__ import annotations

import pytest

from pybible.server.report.look import Look
from pybible.server.report.screen import Screen
from pybible.server.report.terminal import Terminal
from pybible.server.results.events import (
    AsyncPoll,
    CustomStats,
    HostResult,
    HostStarted,
    Included,
    ItemResult,
    Message,
    MessageLevel,
    NoHostsMatched,
    NoHostsRemaining,
    PlaybookStarted,
    PlayStarted,
    Retry,
    RunEvent,
    Status,
    TaskKind,
    TaskStarted,
)
from pybible.server.results.recap import HostRecap, Recap
from pybible.wire.values import JsonObject

OOPS = """Task failed: Action failed: oops
Origin: /tmp/judge/a.yml:11:7

 9       debug: var=inventory_hostname
10     - debug: msg="hi {{ inventory_hostname }}"
11     - name: fail it
         ^ column 7
"""


class Shown:
    """What a screen wrote."""

    def __init__(self, *, verbosity: int = 0, colour: bool = False, custom_stats: bool = False) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        terminal = Terminal(out=self.out.append, err=self.err.append, colour=colour)
        self.screen = Screen(terminal, verbosity=verbosity, look=Look(show_custom_stats=custom_stats))

    def __call__(self, *events: RunEvent) -> str:
        for event in events:
            self.screen(event)
        text = "".join(self.out)
        self.out.clear()
        return text


def result(status: Status = Status.OK, values: JsonObject | None = None, **more: object) -> HostResult:
    return HostResult(task_id="t1", host="h1", status=status, result=values or {}, **more)  # type: ignore[arg-type]


def item(status: Status = Status.OK, values: JsonObject | None = None, **more: object) -> ItemResult:
    return ItemResult(task_id="t1", host="h1", status=status, result=values or {}, **more)  # type: ignore[arg-type]


def task(name: str = "ping", **more: object) -> TaskStarted:
    return TaskStarted(task_id="t1", name=name, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            PlayStarted(play_id="p1", name="first"),
            "\nPLAY [first] *******************************************************************\n",
        ),
        (
            PlayStarted(play_id="p1", name=" "),
            "\nPLAY ***************************************************************************\n",
        ),
        (
            task("Gathering Facts"),
            "\nTASK [Gathering Facts] *********************************************************\n",
        ),
        (
            task("hand", kind=TaskKind.HANDLER),
            "\nRUNNING HANDLER [hand] *********************************************************\n",
        ),
        (
            task("unicode é"),
            "\nTASK [unicode é] ***************************************************************\n",
        ),
        (
            task("x" * 90),
            f"\nTASK [{'x' * 90}] ***\n",
        ),
        (NoHostsMatched(), "skipping: no hosts matched\n"),
        (
            NoHostsRemaining(),
            "\nNO MORE HOSTS LEFT *************************************************************\n",
        ),
        (Included(task_id="t1", name="/tmp/inc.yml", hosts=("h1", "h2")), "included: /tmp/inc.yml for h1, h2\n"),
        (
            Included(task_id="t1", name="/tmp/inc.yml", hosts=("h1",), item=2),
            "included: /tmp/inc.yml for h1 => (item=2)\n",
        ),
        (
            Retry(task_id="t1", host="h1", name="retry", retries_left=2),
            "FAILED - RETRYING: [h1]: retry (2 retries left).\n",
        ),
        (
            AsyncPoll(task_id="t1", host="h1", state="ok", job_id="j300078923349.2826"),
            "ASYNC OK on h1: jid=j300078923349.2826\n",
        ),
        (
            AsyncPoll(task_id="t1", host="h1", state="poll", job_id="j1.2"),
            "ASYNC POLL on h1: jid=j1.2 started=True finished=False\n",
        ),
        (HostStarted(task_id="t1", host="h1"), ""),
        (PlaybookStarted(path="a.yml", plays=1), ""),
    ],
)
def test_lines_that_are_not_results(event: RunEvent, text: str) -> None:
    assert Shown()(event) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (result(), "ok: [h1]\n"),
        (result(values={"changed": True}), "changed: [h1]\n"),
        (result(values={"changed": True}, label="h1 -> h2"), "changed: [h1 -> h2]\n"),
        (
            result(Status.SKIPPED, {"changed": False, "skip_reason": "Conditional result was False"}, label="h1 -> h2"),
            "skipping: [h1]\n",
        ),
        (
            result(Status.FAILED, {"failed": True, "changed": False, "msg": "oops"}),
            'fatal: [h1]: FAILED! => {"changed": false, "msg": "oops"}\n',
        ),
        (
            result(Status.FAILED, {"failed": True, "msg": "oops", "invocation": {}, "_ansible_no_log": False}),
            'fatal: [h1]: FAILED! => {"msg": "oops"}\n',
        ),
        (
            result(Status.FAILED, {"msg": "oops"}, ignored=True),
            'fatal: [h1]: FAILED! => {"msg": "oops"}\n...ignoring\n',
        ),
        (
            result(Status.UNREACHABLE, {"changed": False, "msg": "gone", "unreachable": True}, ignored=True),
            'fatal: [h1]: UNREACHABLE! => {"changed": false, "msg": "gone", "unreachable": true}\n...ignoring\n',
        ),
        (
            result(values={"changed": False, "failed": False, "msg": "é \\e[31m"}, action="debug", verbose_always=True),
            'ok: [h1] => {\n    "msg": "é \\\\e[31m"\n}\n',
        ),
        (
            result(values={"changed": False, "x": [1, {"a": None}]}, action="debug", verbose_always=True),
            'ok: [h1] => {\n    "x": [\n        1,\n        {\n            "a": null\n        }\n    ]\n}\n',
        ),
        (
            result(Status.FAILED, {"assertion": "1 == 2", "changed": False, "msg": "no"}, verbose_always=True),
            'fatal: [h1]: FAILED! => {\n    "assertion": "1 == 2",\n    "changed": false,\n    "msg": "no"\n}\n',
        ),
        (result(values={"changed": False}, action="include_tasks"), ""),
        (result(values={"results": []}, loop=True), ""),
        (result(Status.FAILED, {"results": []}, loop=True), ""),
        (result(Status.FAILED, {"results": []}, loop=True, ignored=True), "...ignoring\n"),
        (result(Status.SKIPPED, {"results": []}, loop=True), "skipping: [h1]\n"),
        (item(values={"changed": True}, item="a"), "changed: [h1] => (item=a)\n"),
        (item(values={}, item={"b": 1}), "ok: [h1] => (item={'b': 1})\n"),
        (item(Status.SKIPPED, {}, item=3), "skipping: [h1] => (item=3) \n"),
        (
            item(Status.FAILED, {"ansible_loop_var": "item", "item": 1, "msg": "no"}, item=1),
            'failed: [h1] (item=1) => {"ansible_loop_var": "item", "item": 1, "msg": "no"}\n',
        ),
        (
            item(Status.UNREACHABLE, {"msg": "no", "unreachable": True}, item=1),
            'failed: [h1] (item=1) => {"msg": "no", "unreachable": true}\n',
        ),
        (
            item(values={"msg": "dep", "item": 1}, item="L1", action="debug", verbose_always=True),
            'ok: [h1] => (item=L1) => {\n    "msg": "dep"\n}\n',
        ),
    ],
)
def test_results(event: RunEvent, text: str) -> None:
    assert Shown()(event) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            result(values={"ping": "pong", "changed": False, "failed": False, "invocation": {}}),
            'ok: [h1] => {"changed": false, "ping": "pong"}\n',
        ),
        (result(values={"ansible_facts": {}, "_ansible_verbose_override": True}), "ok: [h1]\n"),
        (result(values={"ansible_facts": {"a": 1}}, action="setup"), "ok: [h1]\n"),
        (result(values={"ansible_facts": {"a": 1}}, action="gather_facts"), "ok: [h1]\n"),
        (result(Status.SKIPPED, {"changed": False}, action="setup"), 'skipping: [h1] => {"changed": false}\n'),
        (
            item(Status.SKIPPED, {"changed": False, "item": 3, "skipped": True}, item=3),
            'skipping: [h1] => (item=3)  => {"changed": false, "item": 3}\n',
        ),
        (
            result(Status.SKIPPED, {"changed": False, "msg": "All items skipped", "results": [1]}, loop=True),
            'skipping: [h1] => {"changed": false, "msg": "All items skipped"}\n',
        ),
        (result(values={"b": {"_ansible_x": 1, "z": "\u001b\u009b"}}), 'ok: [h1] => {"b": {"z": "\\u001b\\u009b"}}\n'),
    ],
)
def test_results_at_v(event: RunEvent, text: str) -> None:
    assert Shown(verbosity=1)(event) == text


def test_playbook_and_task_paths_show_at_vv() -> None:
    shown = Shown(verbosity=2)
    assert shown(PlaybookStarted(path="b.yml", plays=4), task(path="/tmp/judge/b.yml:3")) == (
        "\nPLAYBOOK: b.yml ****************************************************************\n"
        "4 plays in b.yml\n"
        "\nTASK [ping] ********************************************************************\n"
        "task path: /tmp/judge/b.yml:3\n"
    )


def test_results_at_vvv_are_long_and_show_the_invocation() -> None:
    event = result(values={"changed": False, "invocation": {"module_args": {"a": 1}}})
    assert Shown(verbosity=3)(event) == (
        'ok: [h1] => {\n    "changed": false,\n    "invocation": {\n        "module_args": {\n            "a": 1\n'
        "        }\n    }\n}\n"
    )


def test_an_error_stands_before_the_first_failure_and_not_again() -> None:
    shown = Shown()
    first = shown(result(Status.FAILED, {"msg": "oops"}, error=OOPS))
    assert first == f'[ERROR]: {OOPS}\nfatal: [h1]: FAILED! => {{"msg": "oops"}}\n'
    assert shown(result(Status.FAILED, {"msg": "oops"}, error=OOPS)) == 'fatal: [h1]: FAILED! => {"msg": "oops"}\n'
    assert not shown.err


def test_warnings_of_a_result_go_to_standard_error_once() -> None:
    shown = Shown(verbosity=1)
    event = result(values={"changed": False, "warnings": ["beware"]})
    assert shown(event, event) == 'ok: [h1] => {"changed": false}\n' * 2
    assert shown.err == ["[WARNING]: beware\n"]


def test_messages() -> None:
    shown = Shown()
    out = shown(
        Message(level=MessageLevel.WARNING, text="Found duplicate mapping key 'tasks'.\nOrigin: p4.yml:4:3"),
        Message(level=MessageLevel.DEPRECATION, text="old"),
        Message(level=MessageLevel.ERROR, text="bad"),
        Message(level=MessageLevel.NOTICE, text="Press enter"),
        Message(level=MessageLevel.NOTICE, text="META: ran handlers", verbosity=2),
    )
    assert out == "Press enter\n"
    assert "".join(shown.err) == (
        "[WARNING]: Found duplicate mapping key 'tasks'.\nOrigin: p4.yml:4:3\n\n"
        "[WARNING]: Deprecation warnings can be disabled by setting `deprecation_warnings=False` in ansible.cfg.\n"
        "[DEPRECATION WARNING]: old\n"
        "[ERROR]: bad\n"
    )


DIFF = {"before": "", "after": "a\nb\n", "after_header": "/tmp/judge/out.txt"}


def test_a_diff_stands_before_its_result() -> None:
    assert Shown()(result(values={"changed": True, "diff": [DIFF]}, diff=True)) == (
        "--- before\n+++ after: /tmp/judge/out.txt\n@@ -0,0 +1,2 @@\n+a\n+b\n\nchanged: [h1]\n"
    )


@pytest.mark.parametrize("event", [result(values={"changed": True, "diff": DIFF}), result(values={"diff": DIFF})])
def test_no_diff_unless_wanted_and_changed(event: RunEvent) -> None:
    assert Shown()(event) in {"changed: [h1]\n", "ok: [h1]\n"}


def test_the_diff_of_an_item_without_a_last_newline() -> None:
    values = {"changed": True, "diff": {"before": "1", "after": "x\ny", "before_header": "o", "after_header": "o"}}
    assert Shown()(item(values=values, item=1, diff=True)) == (
        "--- before: o\n+++ after: o\n@@ -1 +1,2 @@\n-1\n\\ No newline at end of file\n+x\n+y\n"
        "\\ No newline at end of file\n\nchanged: [h1] => (item=1)\n"
    )


def test_a_diff_of_attributes() -> None:
    diff = {"before": {"mode": "0644", "path": "/o"}, "after": {"mode": "0600", "path": "/o"}}
    assert Shown()(result(values={"changed": True, "diff": diff}, diff=True)) == (
        '--- before\n+++ after\n@@ -1,4 +1,4 @@\n {\n-    "mode": "0644",\n+    "mode": "0600",\n'
        '     "path": "/o"\n }\n'
        "\nchanged: [h1]\n"
    )


def test_a_diff_in_colour() -> None:
    shown = Shown(colour=True)
    values = {"changed": True, "diff": {"before": "1", "after": "x\n"}}
    assert shown(result(values=values, diff=True)) == (
        "\x1b[0;31m--- before\x1b[0m\n\x1b[0;31m\x1b[0m\x1b[0;32m+++ after\x1b[0m\n\x1b[0;32m\x1b[0m"
        "\x1b[0;36m@@ -1 +1 @@\x1b[0m\n\x1b[0;36m\x1b[0m\x1b[0;31m-1\x1b[0m\n"
        "\x1b[0;31m\\ No newline at end of file\x1b[0m\n\x1b[0;31m\x1b[0m\x1b[0;32m+x\x1b[0m\n\x1b[0;32m\x1b[0m\n"
        "\x1b[0;33mchanged: [h1]\x1b[0m\n"
    )


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (result(), "\x1b[0;32mok: [h1]\x1b[0m\n"),
        (result(Status.SKIPPED), "\x1b[0;36mskipping: [h1]\x1b[0m\n"),
        (
            result(Status.FAILED, ignored=True),
            "\x1b[0;31mfatal: [h1]: FAILED! => {}\x1b[0m\n\x1b[0;36m...ignoring\x1b[0m\n",
        ),
        (result(Status.UNREACHABLE), "\x1b[1;31mfatal: [h1]: UNREACHABLE! => {}\x1b[0m\n"),
        (
            result(values={"msg": "x"}, action="debug", verbose_always=True),
            '\x1b[0;32mok: [h1] => {\x1b[0m\n\x1b[0;32m    "msg": "x"\x1b[0m\n\x1b[0;32m}\x1b[0m\n',
        ),
        (
            result(Status.FAILED, {}, error="a\nb\n"),
            "\x1b[0;31m[ERROR]: a\x1b[0m\n\x1b[0;31mb\x1b[0m\n\x1b[0;31m\x1b[0m\n"
            "\x1b[0;31mfatal: [h1]: FAILED! => {}\x1b[0m\n",
        ),
        (
            Retry(task_id="t1", host="h1", name="r", retries_left=1),
            "\x1b[1;30mFAILED - RETRYING: [h1]: r (1 retries left).\x1b[0m\n",
        ),
    ],
)
def test_colours(event: RunEvent, text: str) -> None:
    assert Shown(colour=True)(event) == text


def test_results_of_other_tasks_get_their_banner_again() -> None:
    shown = Shown()
    two = TaskStarted(task_id="t2", name="two")
    assert shown(task("one"), two, result()) == (
        "\nTASK [one] *********************************************************************\n"
        "\nTASK [two] *********************************************************************\n"
        "\nTASK [one] *********************************************************************\n"
        "ok: [h1]\n"
    )


def test_the_recap() -> None:
    shown = Shown()
    shown.screen.recap(
        Recap(
            hosts={
                "h2": HostRecap(ok=26, changed=9, skipped=4, ignored=9),
                "h1": HostRecap(ok=27, changed=11, failed=1, skipped=2, ignored=9),
            }
        )
    )
    assert "".join(shown.out) == (
        "\nPLAY RECAP *********************************************************************\n"
        "h1                         : ok=27   changed=11   unreachable=0    "
        "failed=1    skipped=2    rescued=0    ignored=9   \n"
        "h2                         : ok=26   changed=9    unreachable=0    "
        "failed=0    skipped=4    rescued=0    ignored=9   \n"
        "\n"
    )


def test_the_recap_in_colour() -> None:
    shown = Shown(colour=True)
    shown.screen.recap(Recap(hosts={"h1": HostRecap(ok=27, changed=10, failed=1, skipped=2, ignored=9)}))
    assert shown.out[1] == (
        "\x1b[0;31mh1\x1b[0m                         : \x1b[0;32mok=27  \x1b[0m \x1b[0;33mchanged=10  \x1b[0m "
        "unreachable=0    \x1b[0;31mfailed=1   \x1b[0m \x1b[0;36mskipped=2   \x1b[0m rescued=0    "
        "\x1b[1;35mignored=9   \x1b[0m\n"
    )


def test_custom_stats_after_the_recap() -> None:
    shown = Shown(custom_stats=True)
    shown(CustomStats(host="_run", data={"a": 2, "b": ["x", "x"]}))
    shown.screen.recap(Recap())
    assert "".join(shown.out) == (
        "\nPLAY RECAP *********************************************************************\n\n"
        "\nCUSTOM STATS: ******************************************************************\n"
        '\n\tRUN: { "a": 2, "b": [  "x",  "x" ]}\n\n'
    )


@pytest.mark.parametrize(
    "event",
    [
        result(label="h1\x1b[2J"),
        item(item="\x1b]0;title\x07"),
        result(values={"msg": "\x1b[31m\u009b\u202e"}, verbose_always=True),
        result(values={"changed": True, "diff": {"before": "\x1b[31m", "after": "\x07"}}, diff=True),
        result(values={"warnings": ["\x1b[31m"]}),
        result(Status.FAILED, error="\x1b[31m"),
        task("\x1b[31m"),
        Included(task_id="t1", name="\x1b[31m", hosts=("\x07",), item="\x07"),
        Retry(task_id="t1", host="h1", name="\x1b[31m", retries_left=1),
        Message(level=MessageLevel.NOTICE, text="\x1b[31m"),
    ],
)
def test_no_host_steers_the_terminal(event: RunEvent) -> None:
    shown = Shown()
    text = shown(event) + "".join(shown.err)
    assert text.replace("\n", "").isprintable(), text
