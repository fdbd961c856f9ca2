"""log_file: what the operator sees, line by line into the file of the setting log_path."""

from __future__ import annotations

import getpass
import os
import re
import time
from dataclasses import replace
from pathlib import Path

from pybible.server.report.terminal import Terminal, Writer
from pybible.server.report.visible import visible
from pybible.wire.errors import ConfigError

_COLOUR = re.compile("\033\\[[0-9;]*m")
_LEVELS = (("[ERROR]:", "ERROR"), ("[WARNING]:", "WARNING"), ("[DEPRECATION WARNING]:", "WARNING"))


def logged(terminal: Terminal, path: Path) -> Terminal:
    """Return a terminal that adds to the file too. Raises ConfigError when the file can't be written."""
    _add(path, "")
    head = f"p={os.getpid()} u={_user()} n=pybible"

    def also(write: Writer) -> Writer:
        def both(text: str) -> None:
            write(text)
            plain = _COLOUR.sub("", text).lstrip("\n").removesuffix("\n")
            level = next((level for mark, level in _LEVELS if plain.startswith(mark)), "INFO")
            _add(path, f"{_now()} {head} {level}| {visible(plain)}\n")

        return both

    return replace(terminal, out=also(terminal.out), err=also(terminal.err))


def _add(path: Path, text: str) -> None:
    """Write at the end. Opened each time, so that the file may be moved away meanwhile."""
    try:
        with path.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
    except OSError as error:
        raise ConfigError(f"the log file {path} can't be written: {error.strerror}") from error


def _now() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f",{int(now * 1000) % 1000:03}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
