"""test_callbacks: ways to show a run by their Ansible names, as ansible-core 2.19.14 and its collections print it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pybible.server.report.callbacks import Callback, CallbackSetting
from pybible.server.report.dense import Dense
from pybible.server.report.look import Look
from pybible.server.report.registry import ADDED, STDOUT, added_callbacks, short_name, stdout_callback
from pybible.server.report.terminal import Terminal
from pybible.server.results.events import (
    CustomStats,
    HostResult,
    Included,
    ItemResult,
    Message,
    MessageLevel,
    PlaybookStarted,
    PlayStarted,
    RunEvent,
    Status,
    TaskKind,
    TaskStarted,
)
from pybible.server.results.recap import HostRecap, Recap
from pybible.wire.errors import ConfigError
from pybible.wire.values import JsonObject

RECAP = Recap(hosts={"h1": HostRecap(ok=1, changed=1), "h2": HostRecap(failed=1)})
# 2017-06-11 22:50:53 UTC.
MOMENT = 1497221453.0


class Shown:
    """A callback's terminal and clock."""

    def __init__(self, *, colour: bool = False, options: dict[str, str] | None = None) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self.now = MOMENT
        self.setting = CallbackSetting(
            terminal=Terminal(out=self.out.append, err=self.err.append, colour=colour),
            options=options or {},
            clock=lambda: self.now,
        )

    @property
    def text(self) -> str:
        """All that was written to standard output."""
        return "".join(self.out)


def task(name: str = "a task", task_id: str = "t1", **more: object) -> TaskStarted:
    return TaskStarted(task_id=task_id, name=name, path="/p/site.yml:3", **more)  # type: ignore[arg-type]


def result(status: Status = Status.OK, values: JsonObject | None = None, **more: object) -> HostResult:
    named = {"task_id": "t1", "host": "h1", **more}
    return HostResult(status=status, result=values or {}, **named)  # type: ignore[arg-type]


def feed(callback: Callback, *events: RunEvent) -> None:
    for event in events:
        callback(event)


def by_name(name: str, shown: Shown) -> Callback:
    return added_callbacks([name], shown.setting)[0][0] if name in ADDED else stdout_callback(name, shown.setting)


@pytest.mark.parametrize("name", [*STDOUT, *ADDED])
def test_every_callback_of_the_registry_takes_a_run(name: str, tmp_path: Path) -> None:
    options = {"JUNIT_OUTPUT_DIR": str(tmp_path / "junit"), "ANSIBLE_CALLBACK_TREE_DIR": str(tmp_path / "tree")}
    shown = Shown(options=options)
    callback = by_name(name, shown)
    feed(
        callback,
        PlaybookStarted(path="/p/site.yml"),
        PlayStarted(play_id="p1", name="play"),
        task(action="command"),
        ItemResult(task_id="t1", host="h1", status=Status.OK, item=1),
        result(values={"changed": True, "rc": 0, "stdout": "x"}, action="command"),
        result(Status.SKIPPED, host="h2"),
        result(Status.FAILED, {"msg": "no"}, host="h3"),
        result(Status.UNREACHABLE, {"msg": "gone"}, host="h4"),
        Included(task_id="t1", name="x.yml", hosts=("h1",)),
        Message(level=MessageLevel.WARNING, text="mind"),
        CustomStats(host="_run", data={"a": 1}),
    )
    callback.recap(RECAP)
    assert shown.err == ([] if name in ADDED else ["[WARNING]: mind\n"])


@pytest.mark.parametrize(
    ("name", "short"),
    [("ansible.posix.json", "json"), ("community.general.yaml", "yaml"), ("my.own.json", "my.own.json")],
)
def test_names_of_the_collections_that_have_them(name: str, short: str) -> None:
    assert short_name(name) == short


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minmal", "Could not load 'minmal' callback plugin.\nDid you mean 'minimal'? It is named in ansible.cfg:2:1."),
        ("timer", "'timer' adds to what is shown: it belongs into callbacks_enabled."),
        ("zzz", "There are: default, yaml, debug, minimal, oneline, dense, json."),
    ],
)
def test_a_callback_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        stdout_callback(name, Shown().setting, named_in="ansible.cfg:2:1")
    assert message in str(caught.value)


def test_an_added_callback_that_is_not_there_is_a_warning() -> None:
    callbacks, warnings = added_callbacks(["timer", "profile_task", "slack", "default", "timer"], Shown().setting)
    assert len(callbacks) == 1
    assert warnings == [
        "Skipping callback plugin 'profile_task', unable to load. Did you mean 'profile_tasks'?",
        "Skipping callback plugin 'slack', unable to load",
    ]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            result(values={"changed": True, "rc": 0, "stdout": "a\nb", "stderr": "err"}, action="shell"),
            "h1 | CHANGED | rc=0 | (stdout) a\\nb (stderr) err\n",
        ),
        (result(values={"changed": True}, action="command", loop=True), "h1 | CHANGED | rc=-1 | (stdout) \n"),
        (
            result(Status.FAILED, {"rc": 1, "stdout": "", "msg": "no"}, action="command", error="Task failed"),
            'h1 | FAILED | rc=1 | (stdout) \nh1 | FAILED! => {"msg": "no","rc": 1,"stdout": ""}\n',
        ),
        (result(values={"changed": False, "ping": "pong"}), 'h1 | SUCCESS => {"changed": false,"ping": "pong"}\n'),
        (
            result(values={"msg": "x", "changed": False}, action="debug", verbose_always=True),
            'h1 | SUCCESS => {    "changed": false,    "msg": "x"}\n',
        ),
        (result(Status.SKIPPED), "h1 | SKIPPED\n"),
        (result(Status.UNREACHABLE, {"msg": "a\nb"}), "h1 | UNREACHABLE!: a\\nb\n"),
    ],
)
def test_oneline(event: HostResult, text: str) -> None:
    shown = Shown()
    feed(stdout_callback("oneline", shown.setting), task(), event)
    assert shown.text == text


def test_debug_shows_output_as_it_was_written() -> None:
    shown = Shown()
    values: JsonObject = {
        "changed": True,
        "rc": 3,
        "stdout": "out",
        "stdout_lines": ["out"],
        "stderr": "err",
        "msg": "no",
    }
    feed(stdout_callback("ansible.posix.debug", shown.setting), result(Status.FAILED, values, action="shell"))
    assert shown.text == (
        'fatal: [h1]: FAILED! => {\n    "changed": true,\n    "rc": 3\n}\n\n'
        "STDOUT:\n\nout\n\n\nSTDERR:\n\nerr\n\n\nMSG:\n\nno\n"
    )


def test_yaml_is_the_default_callback_with_another_format() -> None:
    shown = Shown()
    feed(stdout_callback("yaml", shown.setting), result(values={"msg": "a\nb"}, action="debug", verbose_always=True))
    assert shown.text == "ok: [h1] => \n    msg: |-\n        a\n        b\n"


def test_json_is_one_document() -> None:
    shown = Shown()
    callback = stdout_callback("json", shown.setting)
    feed(callback, PlayStarted(play_id="p1", name="play"), task())
    shown.now += 1.5
    feed(
        callback,
        result(values={"changed": True, "_ansible_no_log": False}, action="copy"),
        CustomStats(host="_run", data={"a": 1}),
        CustomStats(host="h1", data={"b": 2}),
    )
    callback.recap(RECAP)
    document = json.loads(shown.text)
    assert document["plays"] == [
        {
            "play": {
                "id": "p1",
                "name": "play",
                "duration": {"start": "2017-06-11T22:50:53Z", "end": "2017-06-11T22:50:54.500000Z"},
            },
            "tasks": [
                {
                    "task": {
                        "id": "t1",
                        "name": "a task",
                        "path": "/p/site.yml:3",
                        "duration": {"start": "2017-06-11T22:50:53Z", "end": "2017-06-11T22:50:54.500000Z"},
                    },
                    "hosts": {"h1": {"action": "copy", "changed": True}},
                }
            ],
        }
    ]
    assert document["stats"]["h2"] == {
        "ok": 0,
        "changed": 0,
        "unreachable": 0,
        "failures": 1,
        "skipped": 0,
        "rescued": 0,
        "ignored": 0,
    }
    assert document["custom_stats"] == {"h1": {"b": 2}}
    assert document["global_custom_stats"] == {"a": 1}


def test_timer_says_how_long_it_took() -> None:
    shown = Shown()
    timer = by_name("timer", shown)
    shown.now += 2 * 86400 + 3 * 3600 + 4 * 60 + 5.9
    timer.recap(RECAP)
    assert shown.text == (
        "\nPLAYBOOK RECAP " + "*" * 65 + "\nPlaybook run took 2 days, 3 hours, 4 minutes, 5 seconds\n\n"
    )


def profiled(name: str, options: dict[str, str] | None = None) -> list[str]:
    shown = Shown(options=options)
    callback = by_name(name, shown)
    for task_id, title, seconds in (("t1", "role : slow", 2.0), ("t2", "quick", 0.25), ("t3", "role : other", 1.0)):
        feed(callback, task(title, task_id, action="command"))
        shown.now += seconds
    callback.recap(RECAP)
    return shown.text.splitlines()


def test_profile_tasks_shows_times_and_the_slowest_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", time.gmtime)
    lines = profiled("profile_tasks")
    assert lines[0].startswith("Sunday 11 June 2017  22:50:53 +0000 (0:00:00.000)       0:00:00.000 ***")
    assert lines[1].startswith("Sunday 11 June 2017  22:50:55 +0000 (0:00:02.000)       0:00:02.000 ***")
    assert {len(line) for line in lines[:3]} == {80}
    assert lines[4] == "TASKS RECAP " + "*" * 68
    assert lines[5].startswith("Sunday 11 June 2017  22:50:56 +0000 (0:00:01.000)       0:00:03.250 ***")
    assert lines[6] == "=" * 79 + " "
    assert lines[7:] == [
        "role : slow ------------------------------------------------------------- 2.00s",
        "role : other ------------------------------------------------------------ 1.00s",
        "quick ------------------------------------------------------------------- 0.25s",
    ]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"PROFILE_TASKS_SORT_ORDER": "ascending"}, ["quick", "role", "role"]),
        ({"PROFILE_TASKS_SORT_ORDER": "none"}, ["role", "quick", "role"]),
        ({"PROFILE_TASKS_TASK_OUTPUT_LIMIT": "1"}, ["role"]),
    ],
)
def test_profile_tasks_sorts_and_cuts_as_asked(options: dict[str, str], names: list[str]) -> None:
    assert [line.split()[0] for line in profiled("profile_tasks", options)[7:]] == names


def test_profile_tasks_can_be_silent_until_the_end() -> None:
    assert profiled("profile_tasks", {"PROFILE_TASKS_SUMMARY_ONLY": "1"})[1].startswith("TASKS RECAP")


def test_profile_roles_adds_up_roles_and_modules() -> None:
    assert profiled("profile_roles")[7:] == [
        "role -------------------------------------------------------------------- 3.00s",
        "command ----------------------------------------------------------------- 0.25s",
        "~" * 79 + " ",
        "total ------------------------------------------------------------------- 3.25s",
    ]


def test_tree_keeps_the_last_result_of_each_host_inside_its_folder(tmp_path: Path) -> None:
    shown = Shown(options={"ANSIBLE_CALLBACK_TREE_DIR": str(tmp_path / "tree")})
    tree = by_name("tree", shown)
    feed(tree, result(values={"n": 1}), result(values={"n": 2, "changed": False}), result(Status.SKIPPED, {"n": 3}))
    feed(tree, result(values={}, host="../evil"), result(values={}, host=".."))
    assert (tmp_path / "tree" / "h1").read_text() == '{"changed": false, "n": 2}'
    assert sorted(path.name for path in (tmp_path / "tree").iterdir()) == [".._evil", "_..", "h1"]


def test_tree_warns_once_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = Shown(options={"ANSIBLE_CALLBACK_TREE_DIR": str(tmp_path / "file")})
    feed(by_name("tree", shown), result(), result())
    assert len(shown.err) == 1
    assert "Unable to write to" in shown.err[0]


def junit(tmp_path: Path, *events: RunEvent, **options: str) -> ElementTree.Element:
    shown = Shown(options={"JUNIT_OUTPUT_DIR": str(tmp_path), **options})
    callback = by_name("junit", shown)
    feed(callback, PlaybookStarted(path="/p/site.yml"), PlayStarted(play_id="p1", name="play"))
    for event in events:
        callback(event)
        shown.now += 1
    callback.recap(RECAP)
    assert shown.err == []
    (path,) = tmp_path.glob("site-*.xml")
    return ElementTree.parse(path).getroot()  # noqa: S314 - written a line above


def test_junit_has_a_case_for_each_host_and_task(tmp_path: Path) -> None:
    root = junit(
        tmp_path,
        task("deploy"),
        result(values={"changed": True, "out": "\x1b]"}),
        result(Status.SKIPPED, {"skip_reason": "Conditional result was False"}, host="h2"),
        result(Status.FAILED, {"msg": "no"}, host="h3", error="Task failed: no\nOrigin: x"),
        result(Status.FAILED, {"msg": "no"}, host="h4", error="Task failed: no", ignored=True),
        result(Status.UNREACHABLE, {"msg": "gone"}, host="h5"),
    )
    suite = root[0]
    assert {key: suite.attrib[key] for key in ("tests", "errors", "failures", "skipped", "name")} == {
        "tests": "5",
        "errors": "1",
        "failures": "1",
        "skipped": "1",
        "name": "site",
    }
    assert [case[0].tag for case in suite] == ["system-out", "skipped", "error", "system-out", "failure"]
    assert suite[0].attrib == {"classname": "/p/site.yml:3", "name": "[h1] play: deploy", "time": "1.0"}
    assert suite[2][0].attrib == {"message": "Task failed: no", "type": "error"}
    assert suite[4][0].attrib["message"] == "gone"


@pytest.mark.parametrize(
    ("title", "event", "options", "tags"),
    [
        ("EXPECTED FAILURE x", result(Status.FAILED, {"msg": "no"}), {}, ["system-out"]),
        ("TOGGLE RESULT x", result(), {}, ["failure"]),
        ("x", result(values={"changed": True}), {"JUNIT_FAIL_ON_CHANGE": "true"}, ["failure"]),
        ("x", result(Status.FAILED, ignored=True), {"JUNIT_FAIL_ON_IGNORE": "true"}, ["failure"]),
        ("x", result(action="setup"), {"JUNIT_INCLUDE_SETUP_TASKS_IN_REPORT": "no"}, []),
        ("x", result(), {"JUNIT_TEST_CASE_PREFIX": "test"}, []),
        ("x", result(Status.FAILED), {"JUNIT_TEST_CASE_PREFIX": "test"}, ["failure"]),
    ],
)
def test_junit_options(tmp_path: Path, title: str, event: HostResult, options: dict[str, str], tags: list[str]) -> None:
    assert [case[0].tag for case in junit(tmp_path, task(title), event, **options)[0]] == tags


def test_junit_names_of_places(tmp_path: Path) -> None:
    root = junit(tmp_path, task(), result(), JUNIT_TASK_RELATIVE_PATH="/p", JUNIT_TASK_CLASS="1")
    assert root[0][0].attrib["classname"] == "site"


def test_dense_has_lines_for_tasks_that_changed_or_failed() -> None:
    shown = Shown()
    dense = Dense(shown.setting)
    feed(dense, PlayStarted(play_id="p1", name="first"), task("quiet"), result())
    feed(dense, task("loud", "t2"), result(values={"changed": True}, task_id="t2"))
    feed(dense, result(Status.FAILED, {"msg": "no\nway"}, task_id="t2", host="h2"))
    feed(dense, task("after", "t3", kind=TaskKind.HANDLER), result(values={"changed": True}, task_id="t3"))
    dense.recap(RECAP)
    assert shown.text.splitlines() == [
        "PLAY 1: FIRST",
        "task 2: loud: h1 h2(failed)",
        "  h2: no",
        "handler 1: after: h1",
        "h2: ok=0 changed=0 failed=1 unreachable=0",
    ]


def test_dense_writes_over_the_line_of_a_task_that_changed_nothing() -> None:
    shown = Shown(colour=True)
    dense = Dense(shown.setting)
    feed(dense, task("quiet"), result(), task("loud", "t2"), result(values={"changed": True}, task_id="t2"))
    dense.recap(Recap())
    assert shown.text == (
        "\r\033[2Ktask 1: quiet: \033[0;32mh1\033[0m\r\033[2K\r\033[2Ktask 2: loud: \033[0;33mh1\033[0m\n"
    )


def test_a_look_of_its_own_is_kept_by_other_callbacks() -> None:
    shown = Shown()
    setting = CallbackSetting(terminal=shown.setting.terminal, look=Look(display_ok_hosts=False))
    feed(stdout_callback("yaml", setting), task(), result())
    assert shown.text == ""
