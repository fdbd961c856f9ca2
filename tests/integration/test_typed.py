"""test_typed: lines that an operator types on a real terminal while a run goes on."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
import termios
from collections.abc import Iterator

import pytest

from pybible.server.cli.typed import read_line


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The operator's end of a terminal whose other end is standard input."""
    operator, terminal = pty.openpty()
    with os.fdopen(terminal, closefd=True) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield operator
    os.close(operator)


def echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)


@pytest.mark.parametrize("shown", [True, False])
async def test_a_line_is_waited_for_shown_or_not(keyboard: int, shown: bool) -> None:
    stdin = sys.stdin.fileno()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        line = group.create_task(read_line(shown))
        await asyncio.sleep(0)
        assert echoes(stdin) is shown
        os.write(keyboard, b"gr\xc3\xbcn\n")
    assert line.result() == "grün"
    assert echoes(stdin)


async def test_a_run_that_ends_leaves_the_terminal_as_it_was(keyboard: int) -> None:
    waiting = asyncio.ensure_future(read_line(False))
    await asyncio.sleep(0)
    assert not echoes(sys.stdin.fileno())
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert echoes(sys.stdin.fileno())
