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


async def ask_line(question: str) -> str:
    """Put a question and wait for its answer, a line on standard input, whatever that is. EOFError at its end."""
    sys.stdout.write(question)
    sys.stdout.flush()
    if sys.stdin.isatty():
        return await read_line(True)
    line = b""
    while not line.endswith(b"\n"):
        # Byte for byte: what follows the line is for whoever reads next.
        byte = await _byte(sys.stdin.fileno())
        if not byte:
            break
        line += byte
    if not line:
        raise EOFError
    return line.decode("utf-8", "replace").rstrip("\r\n")


async def _byte(descriptor: int) -> bytes:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        # A file, or nothing: there is nothing to wait for.
        return os.read(descriptor, 1)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 1)


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
