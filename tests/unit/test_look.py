"""test_look: how the screen shows a run as ansible.cfg asks for it; texts as ansible-core 2.19.14 printed them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pybible.server.cli.applied import write_retry_file
from pybible.server.cli.settings import load_settings
from pybible.server.engine.model.text import SourceDict, Trusted
from pybible.server.report.log_file import logged
from pybible.server.report.look import Look
from pybible.server.report.screen import Screen
from pybible.server.report.terminal import Terminal
from pybible.server.report.yaml_dump import dump_yaml
from pybible.server.results.events import HostResult, Message, MessageLevel, PlayStarted, RunEvent, Status, TaskStarted
from pybible.server.results.recap import HostRecap, Recap
from pybible.wire.errors import ConfigError
from pybible.wire.values import JsonObject, JsonValue

TASK = TaskStarted(task_id="t1", name="ping", path="/site.yml:3")


def shown(look: Look, *events: RunEvent, verbosity: int = 0) -> tuple[str, str]:
    out: list[str] = []
    err: list[str] = []
    screen = Screen(Terminal(out=out.append, err=err.append), verbosity=verbosity, look=look)
    for event in events:
        screen(event)
    return "".join(out).replace("*", ""), "".join(err)


def result(status: Status = Status.OK, **values: JsonValue) -> HostResult:
    return HostResult(task_id="t1", host="h1", status=status, result=values, diff=True)


@pytest.mark.parametrize(
    ("look", "event", "text"),
    [
        (Look(display_ok_hosts=False), result(), ""),
        (Look(display_ok_hosts=False), result(changed=True), "\nTASK [ping] \nchanged: [h1]\n"),
        (Look(display_ok_hosts=False), result(Status.SKIPPED), "\nTASK [ping] \nskipping: [h1]\n"),
        (Look(display_skipped_hosts=False), result(Status.SKIPPED), ""),
        (Look(display_skipped_hosts=False), result(), "\nTASK [ping] \nok: [h1]\n"),
        (
            Look(show_task_path_on_failure=True),
            result(Status.FAILED, msg="x"),
            '\nTASK [ping] \ntask path: /site.yml:3\nfatal: [h1]: FAILED! => {"msg": "x"}\n',
        ),
        (Look(check_mode_markers=True), result(), "\nTASK [ping] [CHECK MODE] \nok: [h1]\n"),
    ],
)
def test_what_is_shown_of_a_task(look: Look, event: HostResult, text: str) -> None:
    assert shown(look, TASK, event)[0] == text


def test_failures_can_go_to_standard_error() -> None:
    out, err = shown(Look(display_failed_stderr=True), TASK, result(Status.FAILED, msg="x"))
    assert (out, err) == ("\nTASK [ping] \n", 'fatal: [h1]: FAILED! => {"msg": "x"}\n')


def test_check_mode_is_marked_at_plays_too() -> None:
    assert (
        shown(Look(check_mode_markers=True), PlayStarted(play_id="p", name="all"))[0] == "\nPLAY [all] [CHECK MODE] \n"
    )


def test_deprecations_can_be_silenced() -> None:
    event = Message(level=MessageLevel.DEPRECATION, text="old")
    assert shown(Look(deprecation_warnings=False), event) == ("", "")
    assert "[DEPRECATION WARNING]: old" in shown(Look(), event)[1]


def test_warnings_of_results_can_be_silenced() -> None:
    event = result(warnings=["careful"])
    assert shown(Look(), TASK, event)[1] == "[WARNING]: careful\n"
    assert shown(Look(action_warnings=False), TASK, event)[1] == ""


def copied(before: str, after: str) -> HostResult:
    diff: JsonObject = {"before": before, "after": after}
    values: JsonObject = {"changed": True, "diff": diff}
    return HostResult(task_id="t1", host="h1", status=Status.OK, result=values, diff=True, action="copy")


def test_a_difference_has_as_many_lines_around_it_as_asked_for() -> None:
    event = copied("a\nb\nc\nd\n", "a\nb\nC\nd\n")
    assert "@@ -3 +3 @@\n-c\n+C\n" in shown(Look(diff_context=0), event)[0]
    assert "@@ -2,3 +2,3 @@\n b\n-c\n+C\n d\n" in shown(Look(diff_context=1), event)[0]


def test_large_files_are_not_compared() -> None:
    text = shown(Look(max_diff_size=10), copied("short", "x" * 11))[0]
    assert text == "diff skipped: source file size is greater than 10\nchanged: [h1]\n"
    assert "destination file size is greater than 10" in shown(Look(max_diff_size=10), copied("x" * 11, "short"))[0]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"msg": "text: with"}, "\n    msg: 'text: with'"),
        ({"b": [1, {"x": 2}], "e": {}, "n": None}, "\n    b:\n    - 1\n    -   x: 2\n    e: {}\n    n: null"),
        ({"c": "l1\n\tl2  \n"}, "\n    c: |-\n        l1\n                l2"),
        ({"stdout": "a", "stdout_lines": ["a"]}, "\n    stdout: a\n    stdout_lines: <omitted>"),
        ({"stdout_lines": ["a"]}, "\n    stdout_lines:\n    - a"),
        ({"t": "yes", "é": "\x1b[31m"}, "\n    t: 'yes'\n    é: \"\\e[31m\""),
        ({"d": SourceDict([(Trusted("k"), Trusted("v"))])}, "\n    d:\n        k: v"),
    ],
)
def test_a_result_in_yaml(values: JsonObject, text: str) -> None:
    assert dump_yaml(values) == text


def test_yaml_that_is_not_made_pretty_keeps_all() -> None:
    values: JsonObject = {"c": "a\tb\n", "stdout": "a", "stdout_lines": ["a"], "d": {"x": [1]}}
    assert dump_yaml(values, pretty=False) == (
        '\n    c: "a\\tb\\n"\n    d:\n      x:\n      - 1\n    stdout: a\n    stdout_lines:\n    - a'
    )


def test_what_is_shown_goes_into_the_log_too(tmp_path: Path) -> None:
    out: list[str] = []
    terminal = logged(Terminal(out=out.append, err=out.append, colour=True), tmp_path / "log")
    screen = Screen(terminal)
    screen(TASK)
    screen(HostResult(task_id="t1", host="h1", status=Status.OK, result={}))
    screen(Message(level=MessageLevel.WARNING, text="careful"))
    lines = (tmp_path / "log").read_text().splitlines()
    stamp = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} p=\d+ u=\S+ n=pybible ")
    assert all(stamp.match(line) for line in lines)
    assert [stamp.sub("", line).replace("*", "") for line in lines] == [
        "INFO| TASK [ping] ", "INFO| ok: [h1]", "WARNING| [WARNING]: careful",
    ]  # fmt: skip
    assert "\033[0;32mok: [h1]\033[0m\n" in out


def test_a_log_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be written"):
        logged(Terminal(out=print, err=print), tmp_path)


def test_hosts_that_are_out_are_written_for_the_next_run(tmp_path: Path) -> None:
    recap = Recap()
    recap.hosts.update(b=HostRecap(failed=1), a=HostRecap(unreachable=1), c=HostRecap(ok=1, ignored=1))
    playbook = tmp_path / "play/site.yml"
    playbook.parent.mkdir()

    def write(**environment: str) -> Path | None:
        return write_retry_file(playbook, recap, load_settings(environment, directory=tmp_path, home=tmp_path))

    assert write() is None
    path = write(ANSIBLE_RETRY_FILES_ENABLED="1")
    assert path == tmp_path / "play/site.retry"
    assert path.read_text() == "a\nb\n"
    assert write(ANSIBLE_RETRY_FILES_ENABLED="1", ANSIBLE_RETRY_FILES_SAVE_PATH="new/folder") == (
        tmp_path / "new/folder/site.retry"
    )
