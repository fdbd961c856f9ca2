"""fetch: a file for the engine's fetch action, which writes it on the control node."""

from __future__ import annotations

import base64
import stat
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Unchanged, arg
from pybible.agent.modules.digests import of_bytes, of_open_file
from pybible.agent.modules.slurp import read

# A larger file does not travel in the result.
_IN_RESULT = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of fetch."""

    src: PathText = arg(aliases=("path",), doc="the file")
    _known: str | None = arg(default=None, internal=True)

    @property
    def known(self) -> str | None:
        """The sha256 of the file that the control node has already."""
        return self._known


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
    if found.st_size > _IN_RESULT:
        return _give(args, context)
    data = read(args.src)
    values = {
        "content": base64.b64encode(data).decode("ascii"),
        "encoding": "base64",
        "source": args.src,
        "size": len(data),
        "checksum": of_bytes(data, "sha1")[0],
    }
    return Unchanged(values=values)


def _give(args: Args, context: Context) -> Unchanged:
    """Send the file beside the result, unless the control node has it."""
    try:
        with Path(args.src).open("rb") as file:
            sha1, sha256 = of_open_file(file, "sha1", "sha256")
            size = file.tell()
            if sha256 != args.known:
                file.seek(0)
                context.give(sha256, size, file)
    except PermissionError as error:
        raise ModuleError(f"File is not readable: {args.src}", cause=str(error)) from error
    except OSError as error:
        raise ModuleError(f"Unable to slurp file: {args.src}", cause=str(error)) from error
    return Unchanged(values={"source": args.src, "size": size, "checksum": sha1, "sha256": sha256})


MODULE = Module(name="fetch", args=Args, plan=plan)
