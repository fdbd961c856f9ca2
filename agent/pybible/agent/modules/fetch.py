"""fetch: a file's content for the engine's fetch action, which writes it on the control node."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Unchanged, arg
from pybible.agent.modules.slurp import read

# A result may have 64 MiB, and base64 makes four bytes of three.
_LIMIT = 47 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of fetch."""

    src: PathText = arg(aliases=("path",), doc="the file")


def plan(args: Args, context: Context) -> Unchanged:
    """Read the file; a failure says in `problem` which one it is: absent, directory, too_large or unreadable."""
    path = Path(args.src)
    if path.is_dir():
        message = "remote file is a directory, fetch cannot work on directories"
        raise ModuleError(message, file=args.src, problem="directory")
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        message = "the remote file does not exist, not transferring, ignored"
        cause = f"File not found: {args.src}: {error}"
        raise ModuleError(message, cause=cause, file=args.src, problem="absent") from error
    except OSError as error:
        raise ModuleError(str(error.strerror), cause=str(error), file=args.src, problem="unreadable") from error
    if size > _LIMIT:
        message = f"{args.src} has {size} bytes: fetch carries at most {_LIMIT}"
        raise ModuleError(message, file=args.src, problem="too_large")
    try:
        data = read(args.src)
    except ModuleError as error:
        error.values |= {"file": args.src, "problem": "unreadable"}
        raise
    values = {
        "content": base64.b64encode(data).decode("ascii"),
        "encoding": "base64",
        "source": args.src,
        "size": len(data),
        "checksum": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    }
    return Unchanged(values=values)


MODULE = Module(name="fetch", args=Args, plan=plan)
