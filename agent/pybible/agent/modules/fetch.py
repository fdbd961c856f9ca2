"""fetch: a file's content for the engine's fetch action, which writes it on the control node."""

from __future__ import annotations

import base64
import stat
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Unchanged, arg
from pybible.agent.modules.digests import of_bytes
from pybible.agent.modules.slurp import read

# A result may have 64 MiB, and base64 makes four bytes of three.
_LIMIT = 47 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of fetch."""

    src: PathText = arg(aliases=("path",), doc="the file")


def plan(args: Args, context: Context) -> Unchanged:
    """Read the file."""
    path = Path(args.src)
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise ModuleError(f"File not found: {args.src}", cause=str(error)) from error
    except OSError as error:
        raise ModuleError(f"Failed to get information on remote file ({args.src}): {error.strerror}") from error
    if stat.S_ISDIR(found.st_mode):
        raise ModuleError("remote file is a directory, fetch cannot work on directories")
    if found.st_size > _LIMIT:
        raise ModuleError(f"{args.src} has {found.st_size} bytes: fetch carries at most {_LIMIT}")
    data = read(args.src)
    values = {
        "content": base64.b64encode(data).decode("ascii"),
        "encoding": "base64",
        "source": args.src,
        "size": len(data),
        "checksum": of_bytes(data, "sha1")[0],
    }
    return Unchanged(values=values)


MODULE = Module(name="fetch", args=Args, plan=plan)
