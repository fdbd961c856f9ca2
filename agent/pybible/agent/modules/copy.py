"""copy: puts content from the control node, or a file or folder of the host's own, in its place.

The engine names attached content by its sha256 in `_content`; `src` is then only the name under which it is shown.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
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
from pybible.agent.modules.digests import of_file
from pybible.agent.modules.files import back_up, beside, check_valid, lstat, replace
from pybible.wire.values import JsonObject

# A file that is larger than this (bytes) is not shown in a diff.
_DIFF_LIMIT = 104448


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of copy."""

    src: PathText | None = arg(default=None, doc="what to copy")
    dest: PathText = arg(doc="where to")
    content: str | None = arg(default=None, no_log=True, doc="text, in the place of src")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    force: bool = arg(default=True, doc="replace a file that differs")
    validate: str | None = arg(default=None, doc="command that has to accept the new file, %s, before it is used")
    directory_mode: str | int | None = arg(default=None, raw=True, doc="permissions of new directories")
    remote_src: bool | None = arg(default=None, doc="src is on the host")
    local_follow: bool | None = arg(default=None, doc="copy what links in src lead to")
    follow: bool = arg(default=False, doc="write through a link at dest")
    checksum: str | None = arg(default=None, doc="SHA-1 that src must have")
    _original_basename: str | None = arg(default=None)
    _content: str | None = arg(default=None, internal=True)
    _size: int | None = arg(default=None, internal=True)
    _probe: bool = arg(default=False, internal=True)

    @property
    def size(self) -> int:
        """The size of the attached content, bytes."""
        return self._size or 0

    @property
    def is_probe(self) -> bool:
        """Whether the content comes only if it is wanted: the question is now whether it is."""
        return self._probe

    @property
    def attached(self) -> str | None:
        """The sha256 of the content that came with the task."""
        return self._content

    @property
    def name(self) -> str:
        """The file's name inside a directory."""
        return self._original_basename or (Path(self.src).name if self.src else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to be copied, and what it is shown as."""

    path: str
    sha1: str
    md5: str


def plan(args: Args, context: Context) -> Plan:
    """Compare what is to be copied with what is there."""
    if args.attached is None:
        from pybible.agent.modules.copy_remote import plan_remote

        return plan_remote(args, context)
    if args.is_probe:
        return _plan_without_content(args, context, args.attached)
    path = context.content(args.attached)
    sha1, md5 = of_file(path, "sha1", "md5")
    source = Source(path=str(path), sha1=sha1, md5=md5)
    dest = destination(args)
    found = lstat(dest)
    if found is not None and not args.force:
        shown = args.src or source.path
        return Unchanged(values={"dest": dest, "src": shown}, described=False)
    if found is not None and stat.S_ISREG(found.st_mode) and same_content(dest, found, source):
        return _plan_same(args, dest, source)
    diff = [_diff(args, dest, source.path)] if context.diff else []
    if context.check:
        return Change(values={"diff": diff}, apply=_nothing)
    return Change(values={"diff": diff}, apply=partial(_put, args, dest, source, diff))


def _plan_without_content(args: Args, context: Context, sha256: str) -> Plan:
    """Plan as far as that can be done without the content; ask for it (`_wanted`) where it can't."""
    dest = destination(args)
    found = lstat(dest)
    if found is not None and not args.force:
        return Unchanged(values={"dest": dest, "src": args.src or sha256}, described=False)
    if found is not None and stat.S_ISREG(found.st_mode) and found.st_size == args.size:
        with contextlib.suppress(PermissionError):
            sha1, md5, there = of_file(dest, "sha1", "md5", "sha256")
            if there == sha256:
                return _plan_same(args, dest, Source(path=dest, sha1=sha1, md5=md5))
    if context.check and (args.size > _DIFF_LIMIT or not context.diff):
        diff = [{**_old_side(dest), "src_larger": _DIFF_LIMIT}] if context.diff else []
        return Change(values={"diff": diff}, apply=_nothing)
    return Unchanged(values={"_wanted": True}, described=False)


def destination(args: Args) -> str:
    """Return the path of the file that is to be written."""
    dest = args.dest
    if args.follow and Path(dest).is_symlink() and Path(dest).exists():
        dest = os.path.realpath(dest)
    if dest.endswith("/") or Path(dest).is_dir():
        if not args.name:
            raise ModuleError("can not use content with a dir as dest", diff=[])
        return os.path.join(dest, args.name)  # noqa: PTH118  Path would tidy the rest
    return dest


def same_content(path: str, found: os.stat_result, source: Source) -> bool:
    """Return whether the file at `path` holds what the source holds."""
    if found.st_size != Path(source.path).stat().st_size:
        return False
    try:
        return of_file(path, "sha1") == [source.sha1]
    except PermissionError:
        return False


def _nothing() -> None:
    return None


def _plan_same(args: Args, dest: str, source: Source) -> Plan:
    change = plan_attributes(dest, args)
    values: JsonObject = {"path": dest, "dest": dest, "checksum": source.sha1, "diff": []}
    diff = {"before": {"path": dest, **change.before}, "after": {"path": dest, **change.after}}
    if not change:
        return Unchanged(values=values, diff=diff)
    return Change(values=values, diff=diff, apply=change.apply)


def _old_side(dest: str) -> JsonObject:
    if not Path(dest).is_file():
        return {"before": ""}
    text = readable(dest)
    return {"before_header": dest, "before": text} if isinstance(text, str) else {f"dst_{text[0]}": text[1]}


def _diff(args: Args, dest: str, source: str) -> JsonObject:
    diff = _old_side(dest)
    text = readable(source)
    if isinstance(text, str):
        return diff | {"after_header": args.src or dest, "after": text}
    return diff | {f"src_{text[0]}": text[1]}


def readable(path: str) -> str | tuple[str, int]:
    """Return a file's text, or why it is not shown: (larger, LIMIT) or (binary, 1)."""
    if Path(path).stat().st_size > _DIFF_LIMIT:
        return "larger", _DIFF_LIMIT
    data = Path(path).read_bytes()
    return ("binary", 1) if b"\0" in data else data.decode("utf-8", "surrogateescape")


def _put(args: Args, dest: str, source: Source, diff: object) -> JsonObject:
    try:
        check_sum(args, source)
        make_parents(args, dest)
        result: JsonObject = {"dest": dest, "src": source.path, "md5sum": source.md5, "checksum": source.sha1}
        with beside(dest) as temporary:
            shutil.copyfile(source.path, temporary)
            if args.validate is not None:
                check_valid(args.validate, temporary)
            if args.backup and (backup := back_up(dest)):
                result["backup_file"] = backup
            replace(temporary, dest, args)
    except ModuleError as error:
        error.values = {"checksum": source.sha1, "diff": diff, **error.values}
        raise
    return result


def check_sum(args: Args, source: Source) -> None:
    """Raise ModuleError unless the source is what the task says it is."""
    if args.checksum and args.checksum != source.sha1:
        raise ModuleError(
            "Copied file does not match the expected checksum. Transfer failed.",
            checksum=source.sha1,
            expected_checksum=args.checksum,
        )


def make_parents(args: Args, dest: str) -> None:
    """Make the folders of `dest` when it was given as a folder; else they have to be there."""
    folder = Path(dest).parent
    if folder.is_dir():
        return
    if not args.dest.endswith("/"):
        raise ModuleError(f"Destination directory {folder} does not exist")
    wanted = FileAttributes(mode=args.directory_mode, owner=args.owner, group=args.group, attributes=args.attributes)
    for new in reversed([parent for parent in (folder, *folder.parents) if not parent.exists()]):
        try:
            new.mkdir()
        except OSError as error:
            raise ModuleError(f"There was an issue creating {new}: {error.strerror}", cause=str(error)) from error
        plan_attributes(str(new), wanted).apply()


MODULE = Module(
    name="ansible.legacy.copy",
    args=Args,
    plan=plan,
)
