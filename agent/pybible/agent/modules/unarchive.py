"""unarchive: unpacks an archive, of the control node's or of the host's, into a folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
import urllib.parse
from collections.abc import Iterator
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
from pybible.agent.modules.archives import Archive, open_archive
from pybible.agent.modules.attributes import plan_attributes
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of unarchive."""

    src: PathText = arg(doc="the archive: of the control node; with remote_src of the host, or its address")
    dest: PathText = arg(doc="the folder into which it is unpacked")
    copy: bool = arg(default=True, doc="the old way to say that src is not on the host")
    creates: PathText | None = arg(default=None, doc="path: when it is there, nothing is done")
    io_buffer_size: int = arg(default=65536, doc="how much is read at once")
    list_files: bool = arg(default=False, doc="put the names into the result")
    exclude: list[str] = arg(default_factory=list, doc="what stays packed")
    include: list[str] = arg(default_factory=list, doc="what alone is unpacked")
    keep_newer: bool = arg(default=False, doc="leave files that are newer than those in the archive")
    extra_opts: list[str] = arg(default_factory=list, doc="options of tar or unzip")
    remote_src: bool = arg(default=False, doc="src is on the host")
    validate_certs: bool = arg(default=True, doc="check the certificate of the server that src names")
    decrypt: bool = arg(default=True, doc="decrypt a vaulted archive before it is sent")
    _content: str | None = arg(default=None, internal=True)

    @property
    def attached(self) -> str | None:
        """The sha256 of the archive that came with the task."""
        return self._content


def plan(args: Args, context: Context) -> Plan:
    """Compare the folder with the archive."""
    if args.creates is not None and Path(args.creates).exists():
        return Unchanged(values={"skipped": True, "msg": f"skipped, since {args.creates} exists"}, described=False)
    if not Path(args.dest).is_dir():
        raise ModuleError(f"dest '{args.dest}' must be an existing dir")
    with _source(args, context) as path:
        archive = open_archive(path, args, context)
        if not archive.differs():
            result = _result(args, archive)
            changes = _attributes(args, archive)
            if not changes:
                return Unchanged(values=result)
            return Change(values=result, apply=partial(_set_attributes, args, changes))
        if context.check:
            return Change(values=_result(args, archive), apply=_nothing)
        if args.attached is None and "://" in args.src:
            # The file is gone when this block ends.
            return Change(values=_unpack(args, archive), apply=_nothing)
    return Change(values={}, apply=partial(_unpack, args, archive))


def _nothing() -> None:
    return None


def _set_attributes(args: Args, paths: list[Path]) -> None:
    for path in paths:
        plan_attributes(str(path), args).apply()


@contextlib.contextmanager
def _source(args: Args, context: Context) -> Iterator[str]:
    if args.attached is not None:
        yield str(context.content(args.attached))
        return
    if "://" in args.src:
        from pybible.agent.modules.web import Request, fetch

        with tempfile.TemporaryDirectory() as folder:
            name = Path(urllib.parse.urlsplit(args.src).path).name or "archive"
            file = Path(folder) / name
            with fetch(Request(url=args.src, check_certificate=args.validate_certs)) as answer:
                if answer.status != 200 and not args.src.startswith(("file:", "ftp:")):
                    raise ModuleError(f"Failure downloading {args.src}, {answer.msg}")
                with file.open("wb") as stream:
                    answer.copy_to(stream)
            yield str(file)
        return
    if not Path(args.src).exists():
        if args.remote_src:
            raise ModuleError(f"Source '{args.src}' does not exist")
        raise ModuleError(f"Source '{args.src}' failed to transfer")
    if not os.access(args.src, os.R_OK):
        raise ModuleError(f"Source '{args.src}' not readable")
    yield args.src


def _result(args: Args, archive: Archive) -> JsonObject:
    values: JsonObject = {"dest": args.dest, "src": args.src, "handler": archive.handler}
    if args.list_files:
        values["files"] = archive.names()
    return values


def _unpack(args: Args, archive: Archive) -> JsonObject:
    done = archive.extract()
    result = _result(args, archive)
    result["extract_results"] = {"cmd": done.cmd, "rc": done.rc, "out": done.out, "err": done.err}
    if done.rc:
        raise ModuleError(f"failed to unpack {args.src} to {args.dest}", **result)
    _set_attributes(args, _paths(args, archive))
    return result


def _paths(args: Args, archive: Archive) -> list[Path]:
    if args.owner is None and args.group is None and args.mode in (None, ""):
        return []
    paths = [Path(args.dest) / name for name in archive.names()]
    return [path for path in paths if path.exists()]


def _attributes(args: Args, archive: Archive) -> list[Path]:
    return [path for path in _paths(args, archive) if plan_attributes(str(path), args)]


MODULE = Module(name="ansible.legacy.unarchive", args=Args, plan=plan, mutually_exclusive=(("include", "exclude"),))
