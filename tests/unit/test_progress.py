"""test_progress: the live line is there while nothing comes, and never among the lines."""

from __future__ import annotations

import asyncio
import io

from pybible.server.report.progress import Progress, TaskProgress
from pybible.server.report.rich_bar import RichBar
from pybible.server.report.terminal import Terminal
from pybible.server.results.events import HostResult, HostStarted, Output, Status, TaskStarted


class Log:
    """A display and a terminal that write into one list."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def draw(self, text: str, *, done: int, total: int) -> None:
        self.lines.append(f"[{done}/{total}] {text}")

    def clear(self) -> None:
        self.lines.append("cleared")


async def turns() -> None:
    for _turn in range(5):
        await asyncio.sleep(0)


def test_who_is_late_is_named() -> None:
    task = TaskProgress(total=20, forks=5, running={"a": 0.0, "b": 90.0, "c": 50.0}, took=[1.0, 2.0, 3.0])
    assert task.text(100.0) == "3 done, 3 running, 14 waiting, late: a, c, b (100 s)"
    task.took = [30.0]
    assert task.text(100.0) == "1 done, 3 running, 16 waiting, late: a (100 s)"


def test_no_more_than_forks_run() -> None:
    task = TaskProgress(total=3, forks=2)
    for host in ("a", "b", "c"):
        task.begin(host, 0.0)
    assert task.text(1.0) == "0 done, 2 running, 1 waiting"
    task.end("b", 4.0)
    assert task.running == {"a": 0.0, "c": 4.0}
    assert task.text(5.0) == "1 done, 2 running, 0 waiting"


async def test_it_appears_in_silence_and_makes_room_for_a_line() -> None:
    log = Log()
    progress = Progress(Terminal(out=log.lines.append, err=log.lines.append), log, forks=2, many=3, silence=0)
    progress(TaskStarted(task_id="t", name="ping", hosts=3))
    progress.terminal.out("TASK\n")
    progress(HostStarted(task_id="t", host="a"))
    await turns()
    progress(HostResult(task_id="t", host="a", status=Status.OK))
    progress.terminal.out("ok: [a]\n")
    progress.close()
    await turns()
    assert log.lines == ["TASK\n", "[0/3] 0 done, 1 running, 2 waiting", "cleared", "ok: [a]\n"]


async def test_few_hosts_need_none() -> None:
    log = Log()
    progress = Progress(Terminal(out=log.lines.append, err=log.lines.append), log, forks=2, silence=0)
    progress(TaskStarted(task_id="t", name="ping", hosts=3))
    progress.terminal.out("TASK\n")
    await turns()
    assert log.lines == ["TASK\n"]


async def test_what_a_task_prints_shows_until_its_result() -> None:
    log = Log()
    progress = Progress(Terminal(out=log.lines.append, err=log.lines.append), log, forks=2, silence=0)
    progress(TaskStarted(task_id="t", name="build", hosts=1))
    progress.terminal.out("TASK\n")
    progress(HostStarted(task_id="t", host="a"))
    progress(Output(task_id="t", host="a", stream="stdout", text="one\ntwo \x1b[2J\n"))
    await turns()
    progress(HostResult(task_id="t", host="a", status=Status.OK))
    progress.terminal.out("ok: [a]\n")
    await turns()
    progress.close()
    shown = "[0/1] 0 done, 1 running, 0 waiting, a: two \\x1b[2J"
    assert log.lines == ["TASK\n", shown, "cleared", "ok: [a]\n"]


def test_the_bar_leaves_nothing_behind() -> None:
    from rich.console import Console

    file = io.StringIO()
    bar = RichBar(Console(file=file, force_terminal=True, width=79, color_system=None))
    bar.draw("3 done", done=3, total=10)
    assert "3 done" in file.getvalue()
    bar.clear()
    bar.clear()
    assert file.getvalue().endswith("\x1b[2K")
