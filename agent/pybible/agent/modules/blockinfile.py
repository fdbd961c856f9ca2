"""blockinfile: makes sure that a block of lines between two marker lines is, or is not, in a text file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

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
from pybible.agent.modules.attributes import AttributeChange, plan_attributes
from pybible.agent.modules.rewrite import ATTRIBUTES_CHANGED, rewrite
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of blockinfile."""

    path: PathText = arg(aliases=("dest", "destfile", "name"), doc="the file")
    state: Literal["absent", "present"] = arg(default="present", doc="whether the block is to be there")
    marker: str = arg(default="# {mark} ANSIBLE MANAGED BLOCK", doc="the marker line; {mark} is its begin or end")
    block: str = arg(default="", aliases=("content",), doc="the lines; none: the block goes")
    insertafter: str | None = arg(default=None, doc="EOF, or a pattern: where a new block goes")
    insertbefore: str | None = arg(default=None, doc="BOF, or a pattern: where a new block goes")
    create: bool = arg(default=False, doc="make the file when there is none")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    validate: str | None = arg(default=None, doc="command that has to accept the new file, %s, before it is used")
    marker_begin: str = arg(default="BEGIN", doc="what {mark} is in the first marker line")
    marker_end: str = arg(default="END", doc="what {mark} is in the last marker line")
    append_newline: bool = arg(default=False, doc="an empty line after the block")
    prepend_newline: bool = arg(default=False, doc="an empty line before the block")


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what is asked."""
    path = Path(args.path)
    if path.is_dir():
        raise ModuleError(f"Path {args.path} is a directory !", rc=256)
    exists = path.exists()
    if not exists and not args.create:
        raise ModuleError(f"Path {args.path} does not exist !", rc=257)
    if not exists and args.state == "absent":
        return Unchanged(values={"msg": f"File {args.path} not present"}, described=False)
    before = path.read_bytes() if exists else b""
    after = edit(before, args)
    changed = after != before or not exists
    said = []
    if changed:
        kept = args.state == "present" and args.block
        said = ["File created" if not exists else "Block inserted" if kept else "Block removed"]
    attributes = plan_attributes(args.path, args) if exists else AttributeChange()
    diff = _diff(args, before, after) if context.diff else _diff(args, b"", b"")
    if not exists and context.check:
        return Change(values={"msg": said[0], "diff": diff}, apply=_nothing)
    values = _values(said, diff, attributes, args)
    if changed:
        return Change(values=values, apply=partial(_write, args, after, said, diff, exists))
    return Change(values=values, apply=attributes.apply) if attributes else Unchanged(values=values)


def _nothing() -> None:
    return None


def _diff(args: Args, before: bytes, after: bytes) -> JsonObject:
    header = f"{args.path} (content)"
    shown = [data.decode("utf-8", "surrogateescape") for data in (before, after)]
    return {"before": shown[0], "after": shown[1], "before_header": header, "after_header": header}


def _values(said: list[str], diff: JsonObject, attributes: AttributeChange, args: Args) -> JsonObject:
    header = f"{args.path} (file attributes)"
    state: JsonObject = {"before_header": header, "after_header": header}
    if attributes:
        state |= {"before": attributes.before, "after": attributes.after}
        said = [*said, ATTRIBUTES_CHANGED]
    return {"msg": " and ".join(said), "diff": [diff, state]}


def edit(data: bytes, args: Args) -> bytes:
    """Return the text with the block in its place, or without it. Text in, text out."""
    lines = data.splitlines(keepends=True)
    first, last = (_marker(args, mark) for mark in (args.marker_begin, args.marker_end))
    index = _place(lines, first, last, data, args)
    if index > 0 and not lines[index - 1].endswith(b"\n"):
        lines[index - 1] += b"\n"
    block = _block(args, first, last)
    # Around no block there is no empty line either: the stock module adds one more each time.
    if block and args.prepend_newline and index > 0 and lines[index - 1] != b"\n":
        lines.insert(index, b"\n")
        index += 1
    lines[index:index] = block
    behind = index + len(block)
    if block and args.append_newline and behind < len(lines) and lines[behind] != b"\n":
        lines.insert(behind, b"\n")
    return b"".join(lines)


def _marker(args: Args, mark: str) -> bytes:
    return args.marker.replace("{mark}", mark).encode("utf-8", "surrogateescape") + b"\n"


def _block(args: Args, first: bytes, last: bytes) -> list[bytes]:
    if args.state != "present" or not args.block:
        return []
    text = args.block.encode("utf-8", "surrogateescape")
    if not text.endswith(b"\n"):
        text += b"\n"
    return [first, *text.splitlines(keepends=True), last]


def _place(lines: list[bytes], first: bytes, last: bytes, data: bytes, args: Args) -> int:
    """Take the old block out; return the index at which the new one goes."""
    begin = max((index for index, line in enumerate(lines) if line == first), default=None)
    end = max((index for index, line in enumerate(lines) if line == last), default=None)
    if begin is not None and end is not None:
        # Markers in the wrong order are what a hand has made: what lies between goes too.
        begin, end = min(begin, end), max(begin, end)
        del lines[begin : end + 1]
        return begin
    if args.insertbefore == "BOF":
        return 0
    pattern = args.insertbefore or args.insertafter
    if pattern is None or (args.insertafter == "EOF" and args.insertbefore is None):
        return len(lines)
    search = re.compile(pattern.encode("utf-8", "surrogateescape"))
    found = _last_match(search, lines, data, before=args.insertbefore is not None)
    if found is None:
        return len(lines)
    return found if args.insertbefore is not None else found + 1


def _last_match(search: re.Pattern[bytes], lines: list[bytes], data: bytes, *, before: bool) -> int | None:
    if search.flags & re.MULTILINE:
        match = search.search(data)
        return None if match is None else data.count(b"\n", 0, match.start() if before else match.end())
    return max((index for index, line in enumerate(lines) if search.search(line)), default=None)


def _write(args: Args, data: bytes, said: list[str], diff: JsonObject, exists: bool) -> JsonObject:
    if not exists:
        Path(args.path).parent.mkdir(parents=True, exist_ok=True)
    backup, attributes = rewrite(args, args, data)
    result: JsonObject = {"backup_file": backup} if backup else {}
    return result if exists else result | _values(said, diff, attributes, args)


MODULE = Module(name="blockinfile", args=Args, plan=plan, mutually_exclusive=(("insertbefore", "insertafter"),))
