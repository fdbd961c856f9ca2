"""assemble: makes one file of the pieces in a folder."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import (
    Change,
    Context,
    FileAttributes,
    Module,
    ModuleError,
    PathText,
    Plan,
    Unchanged,
    arg,
)
from pybible.agent.modules.attributes import plan_attributes
from pybible.agent.modules.digests import of_bytes, of_file
from pybible.agent.modules.files import back_up, beside, replace, validation
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of assemble."""

    src: PathText = arg(doc="the folder")
    dest: PathText = arg(doc="the file")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    delimiter: str | None = arg(default=None, doc="text between two pieces")
    remote_src: bool = arg(default=True, doc="src is on the host")
    regexp: str | None = arg(default=None, doc="pattern that a piece's name has to match")
    ignore_hidden: bool = arg(default=False, doc="without names that begin with a dot")
    validate: str | None = arg(default=None, doc="command that has to accept the file, %s, before it is used")
    decrypt: bool = arg(default=True, doc="decrypt vaulted pieces")


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what the pieces make."""
    folder = Path(args.src)
    if not folder.exists():
        raise ModuleError(f"Source ({args.src}) does not exist")
    if not folder.is_dir():
        raise ModuleError(f"Source ({args.src}) is not a directory")
    if args.validate and "%s" not in args.validate:
        raise ModuleError(f"validate must contain %s: {args.validate}")
    data = joined(folder, args)
    checksum, md5 = of_bytes(data, "sha1", "md5")
    values: JsonObject = {"src": args.src, "dest": args.dest, "md5sum": md5, "checksum": checksum}
    present = Path(args.dest).exists()
    values["msg"] = "OK"
    if present and of_file(args.dest, "sha1")[0] == checksum:
        attributes = plan_attributes(args.dest, args)
        return Change(values=values, apply=attributes.apply) if attributes else Unchanged(values=values)
    if args.validate:
        # In check mode too, which looks at a copy and not at the target.
        values["validation"] = _validated(args.validate, data)
    return Change(values=values, apply=partial(_write, args, data, present))


def joined(folder: Path, args: Args) -> bytes:
    """Return the pieces, in the order of their names, with the delimiter between them."""
    delimiter = None
    if args.delimiter is not None:
        delimiter = args.delimiter.encode("utf-8", "surrogateescape").decode("unicode_escape").encode("utf-8")
    parts: list[bytes] = []
    open_end = False
    for piece in sorted(folder.iterdir()):
        if args.regexp is not None and not re.search(args.regexp, piece.name):
            continue
        if not piece.is_file() or (args.ignore_hidden and piece.name.startswith(".")):
            continue
        content = piece.read_bytes()
        if open_end:
            parts.append(b"\n")
        if delimiter and parts:
            parts.append(delimiter if delimiter.endswith(b"\n") else delimiter + b"\n")
        parts.append(content)
        open_end = not content.endswith(b"\n") if content else False
    return b"".join(parts)


def _validated(command: str, data: bytes) -> JsonObject:
    """Return what the command says of the file that would be written."""
    with tempfile.NamedTemporaryFile() as made:
        made.write(data)
        made.flush()
        rc, stdout, stderr, _ = validation(command, made.name)
    said: JsonObject = {"rc": rc, "stdout": stdout, "stderr": stderr}
    if rc:
        raise ModuleError(f"failed to validate: rc:{rc} error:{stderr}", validation=said)
    return said


def _write(args: Args, data: bytes, present: bool) -> JsonObject:
    result: JsonObject = {}
    target = os.path.realpath(args.dest)
    if args.backup and present:
        result["backup_file"] = back_up(args.dest)
    with beside(target) as temporary:
        Path(temporary).write_bytes(data)
        replace(temporary, target, args)
    return result


MODULE = Module(name="assemble", args=Args, plan=plan)
