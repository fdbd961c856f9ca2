"""typed: a line that the operator types while a run goes on: nothing else waits for it, and ^C still ends the run."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_LINE_BYTES = 65536


async def read_line(shown: bool) -> str:
    """Wait for a line on standard input, a terminal, and return it without its end. What was typed before is lost."""
    terminal = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[bytes] = loop.create_future()

    def ready() -> None:
        # The terminal gives whole lines, and nothing at the end of input.
        try:
            line = os.read(terminal, _LINE_BYTES)
        except OSError:
            line = b""
        if not typed.done():
            typed.set_result(line)

    with _echo(terminal, shown):
        termios.tcflush(terminal, termios.TCIFLUSH)
        loop.add_reader(terminal, ready)
        try:
            line = await typed
        finally:
            loop.remove_reader(terminal)
    return line.decode("utf-8", "replace").rstrip("\r\n")


@contextmanager
def _echo(terminal: int, shown: bool) -> Iterator[None]:
    """Have what is typed shown or not, and at the end as it was before."""
    before = termios.tcgetattr(terminal)
    wanted = termios.tcgetattr(terminal)
    wanted[3] = wanted[3] | termios.ECHO if shown else wanted[3] & ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, wanted)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
