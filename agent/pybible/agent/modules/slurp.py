"""slurp: a file's content, in base64."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Unchanged, arg

# A result may have 64 MiB, and base64 makes four bytes of three.
LIMIT = 47 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of slurp."""

    src: PathText = arg(aliases=("path",), doc="the file")


def plan(args: Args, context: Context) -> Unchanged:
    """Read the file."""
    data = read(args.src)
    content = base64.b64encode(data).decode("ascii")
    return Unchanged(values={"content": content, "source": args.src, "encoding": "base64"})


def read(src: str) -> bytes:
    """Return a file's content. ModuleError in the words of the stock module, and for a file that is too large."""
    try:
        with Path(src).open("rb") as file:
            data = file.read(LIMIT + 1)
    except FileNotFoundError as error:
        raise ModuleError(f"File not found: {src}", cause=str(error)) from error
    except IsADirectoryError as error:
        raise ModuleError(f"Source is a directory and must be a file: {src}", cause=str(error)) from error
    except PermissionError as error:
        raise ModuleError(f"File is not readable: {src}", cause=str(error)) from error
    except OSError as error:
        raise ModuleError(f"Unable to slurp file: {src}", cause=str(error)) from error
    if len(data) > LIMIT:
        raise ModuleError(f"{src} is larger than {LIMIT} bytes, the most that a result can hold: use fetch")
    return data


MODULE = Module(name="slurp", args=Args, plan=plan)
