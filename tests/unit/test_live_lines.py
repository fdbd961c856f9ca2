"""test_live_lines: what running tasks print, as a watcher sees it."""

from __future__ import annotations

from pybible.server.report.live_lines import LiveLines
from pybible.server.report.terminal import Terminal
from pybible.server.results.events import HostResult, Output, Status


def shown(*events: Output | HostResult) -> str:
    written: list[str] = []
    lines = LiveLines(Terminal(out=written.append, err=written.append))
    for event in events:
        lines(event)
    return "".join(written)


def output(text: str, *, host: str = "a", stream: str = "stdout", dropped: int = 0) -> Output:
    return Output(task_id="t", host=host, stream=stream, text=text, dropped=dropped)


def test_lines_come_whole_each_with_its_host() -> None:
    assert shown(output("on"), output("x\n", host="b"), output("e\ntwo\n")) == "b | x\na | one\na | two\n"


def test_the_last_line_comes_with_the_result() -> None:
    result = HostResult(task_id="t", host="a", status=Status.OK)
    assert shown(output("one\ntw"), output("err", stream="stderr"), result) == "a | one\na | tw\na | err\n"


def test_what_is_missing_is_marked_and_nothing_moves_the_cursor() -> None:
    assert shown(output("be\x1b[2J"), output("end\n", dropped=7)) == (
        "a | be\\x1b[2J\na | [... 7 bytes are not shown ...]\na | end\n"
    )
