"""test_other_reports: `exec`'s screen as the `ansible` command printed it, and events as JSON."""

from __future__ import annotations

import json

import pytest

from pybible.server.report.callbacks import CallbackSetting
from pybible.server.report.json_lines import JsonLines
from pybible.server.report.minimal import Minimal
from pybible.server.report.terminal import Terminal, wants_colour
from pybible.server.results.events import HostResult, Message, MessageLevel, PlayStarted, RunEvent, Status, TaskStarted
from pybible.server.results.recap import HostRecap, Recap
from pybible.wire.values import JsonObject


def result(status: Status = Status.OK, values: JsonObject | None = None, **more: object) -> HostResult:
    return HostResult(task_id="t1", host="h1", status=status, result=values or {}, **more)  # type: ignore[arg-type]


def shown(*events: RunEvent) -> str:
    written: list[str] = []
    report = Minimal(CallbackSetting(terminal=Terminal(out=written.append, err=written.append)))
    for event in events:
        report(event)
    report.recap(Recap())
    return "".join(written)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            result(values={"changed": False, "ping": "pong", "invocation": {}}, action="ping"),
            'h1 | SUCCESS => {\n    "changed": false,\n    "ping": "pong"\n}\n',
        ),
        (
            result(values={"changed": True, "rc": 0, "stdout": "hi", "stderr": "", "msg": ""}, action="command"),
            "h1 | CHANGED | rc=0 >>\nhi\n",
        ),
        (
            result(values={"changed": True, "rc": 0, "stdout": "", "stderr": ""}, action="command"),
            "h1 | CHANGED | rc=0 >>\n\n",
        ),
        (
            result(
                Status.FAILED,
                {"rc": 3, "stdout": "", "stderr": "", "msg": "non-zero return code"},
                action="shell",
                error="Task failed\nOrigin: x",
            ),
            "[ERROR]: Task failed\nOrigin: x\n\nh1 | FAILED | rc=3 >>\nnon-zero return code\n",
        ),
        (result(Status.FAILED, {"msg": "no"}, action="file"), 'h1 | FAILED! => {\n    "msg": "no"\n}\n'),
        (result(values={"msg": "x", "changed": False}, action="debug"), 'h1 | SUCCESS => {\n    "msg": "x"\n}\n'),
        (result(Status.SKIPPED, {"rc": 0}, action="command"), "h1 | SKIPPED\n"),
        (
            result(Status.UNREACHABLE, {"changed": False, "unreachable": True}, action="ping"),
            'h1 | UNREACHABLE! => {\n    "changed": false,\n    "unreachable": true\n}\n',
        ),
        (
            result(values={"changed": True, "diff": {"before": "", "after": "x\n"}}, action="copy", diff=True),
            '--- before\n+++ after\n@@ -0,0 +1 @@\n+x\n\nh1 | CHANGED => {\n    "changed": true\n}\n',
        ),
        (PlayStarted(play_id="p", name="Ansible Ad-Hoc"), ""),
        (TaskStarted(task_id="t1", name="ping"), ""),
        (
            Message(level=MessageLevel.WARNING, text="No hosts matched, nothing to do"),
            "[WARNING]: No hosts matched, nothing to do\n",
        ),
        (result(values={"rc": 0, "stdout": "\x1b[2J"}, action="command"), "h1 | SUCCESS | rc=0 >>\n\\x1b[2J\n"),
    ],
)
def test_one_line(event: RunEvent, text: str) -> None:
    assert shown(event) == text


def test_json_has_one_object_a_line_and_the_recap_last() -> None:
    written: list[str] = []
    report = JsonLines(Terminal(out=written.append, err=written.append))
    report(PlayStarted(play_id="p", name="a\nb"))
    report(result(values={"msg": "\u00e9"}))
    report.recap(Recap(hosts={"h2": HostRecap(ok=1), "h1": HostRecap()}))
    lines = [json.loads(line) for line in "".join(written).splitlines()]
    assert [line["type"] for line in lines] == ["play_started", "host_result", "recap"]
    assert lines[1]["result"] == {"msg": "\u00e9"}
    assert list(lines[2]["hosts"]) == ["h1", "h2"]


@pytest.mark.parametrize(
    ("environment", "interactive", "wanted"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
        ({"ANSIBLE_FORCE_COLOR": "1"}, False, True),
        ({"ANSIBLE_FORCE_COLOR": "no", "TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "ANSIBLE_NOCOLOR": "true"}, True, False),
    ],
)
def test_when_it_is_painted(environment: dict[str, str], interactive: bool, wanted: bool) -> None:
    assert wants_colour(environment, interactive=interactive) is wanted
