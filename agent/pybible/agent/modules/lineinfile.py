"""lineinfile: makes sure that one line is, or is not, in a text file."""

from __future__ import annotations

import re
from collections.abc import Callable
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
from pybible.agent.modules.files import back_up, beside, replace, validation
from pybible.wire.values import JsonObject

_ATTRIBUTES_CHANGED = "ownership, perms or SE linux context changed"
_EMPTY = (
    "The {what} is an empty string, which will match every line in the file. This may have unintended consequences, "
    "such as replacing the last line in the file rather than appending."
)
_EMPTY_PATTERN = " If this is desired, use '^' to match every line in the file and avoid this warning."


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of lineinfile."""

    path: PathText = arg(aliases=("dest", "destfile", "name"), doc="the file")
    state: Literal["absent", "present"] = arg(default="present", doc="whether the line is to be there")
    regexp: str | None = arg(default=None, aliases=("regex",), doc="which line to replace or remove")
    search_string: str | None = arg(default=None, doc="the same as text, without any pattern")
    line: str | None = arg(default=None, aliases=("value",), doc="the line")
    insertafter: str | None = arg(default=None, doc="EOF, or a pattern: where a new line goes")
    insertbefore: str | None = arg(default=None, doc="BOF, or a pattern: where a new line goes")
    backrefs: bool = arg(default=False, doc="the line refers to groups of the pattern; without a match nothing is done")
    create: bool = arg(default=False, doc="make the file when there is none")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    firstmatch: bool = arg(default=False, doc="use the first line that matches, not the last")
    validate: str | None = arg(default=None, doc="command that has to accept the new file, %s, before it is used")


@dataclass(frozen=True, slots=True)
class Edit:
    """What became of the lines, in the words of the result; `found` counts what was removed."""

    lines: list[bytes]
    msg: str
    found: int | None = None


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what is asked."""
    path = Path(args.path)
    if path.is_dir():
        raise ModuleError(f"Path {args.path} is a directory !", rc=256)
    _check(args)
    exists = path.exists()
    if not exists and args.state == "absent":
        return Unchanged(values={"msg": "file not present"})
    if not exists and not args.create:
        raise ModuleError(f"Destination {args.path} does not exist !", rc=257)
    before = path.read_bytes() if exists else b""
    lines = before.splitlines(keepends=True) if b"\r" not in before else _lines(before)
    edit = remove(lines, args) if args.state == "absent" else put(lines, args)
    after = b"".join(edit.lines)
    attributes = plan_attributes(args.path, args) if exists else AttributeChange()
    values = _values(args, edit, attributes)
    if context.diff:
        shown = values["diff"][0]
        shown["before"], shown["after"] = _text(before), _text(after)
    if not exists and context.check:
        values["diff"] = values["diff"][0]
    if after != before:
        return Change(values=values, apply=partial(_write, args, after, edit, values, exists))
    if attributes:
        return Change(values=values, apply=attributes.apply)
    return Unchanged(values=values)


def _check(args: Args) -> None:
    if args.state == "absent":
        if args.regexp is None and args.search_string is None and args.line is None:
            raise ModuleError("one of line, search_string, or regexp is required with state=absent")
        return
    if args.backrefs and args.regexp is None:
        raise ModuleError("regexp is required with backrefs=true")
    if args.line is None:
        raise ModuleError("line is required with state=present")


def _lines(data: bytes) -> list[bytes]:
    # splitlines would also end a line at a lone carriage return.
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _values(args: Args, edit: Edit, attributes: AttributeChange) -> JsonObject:
    headers = [f"{args.path} ({what})" for what in ("content", "file attributes")]
    content: JsonObject = {"before": "", "after": "", "before_header": headers[0], "after_header": headers[0]}
    state: JsonObject = {"before_header": headers[1], "after_header": headers[1]}
    if attributes:
        state |= {"before": attributes.before, "after": attributes.after}
    parts = [edit.msg] if edit.msg else []
    if attributes:
        parts.append(_ATTRIBUTES_CHANGED)
    values: JsonObject = {"msg": " and ".join(parts), "backup": "", "diff": [content, state]}
    if edit.found is not None:
        values["found"] = edit.found
    if args.regexp == "":
        values["warnings"] = [_EMPTY.format(what="regular expression") + _EMPTY_PATTERN]
    elif args.search_string == "":
        values["warnings"] = [_EMPTY.format(what="search string")]
    return values


def put(lines: list[bytes], args: Args) -> Edit:
    """Return the lines with the wanted one among them. Text in, text out."""
    wanted = _bytes(args.line or "")
    found = _matching(lines, args)
    if found is not None:
        index, new = found
        if not new.endswith(b"\n"):
            new += b"\n"
        if lines[index] == new:
            return Edit(lines, "")
        return Edit([*lines[:index], new, *lines[index + 1 :]], "line replaced")
    if args.backrefs:
        return Edit(lines, "")
    index = _place(lines, args)
    beside_it = index if args.insertbefore is None else index - 1
    if index < len(lines) and 0 <= beside_it < len(lines) and lines[beside_it].rstrip(b"\r\n") == wanted:
        return Edit(lines, "")
    head = lines[:index]
    if head and not head[-1].endswith(b"\n"):
        head[-1] += b"\n"
    return Edit([*head, wanted + b"\n", *lines[index:]], "line added")


def _matching(lines: list[bytes], args: Args) -> tuple[int, bytes] | None:
    """Return the line to be replaced, with what it becomes."""
    wanted = _bytes(args.line or "")
    matches = _matcher(args)
    found: tuple[int, bytes] | None = None
    for index, line in enumerate(lines):
        match = matches(line)
        if match:
            new = match.expand(wanted) if args.backrefs and isinstance(match, re.Match) else wanted
            found = (index, new)
            if args.firstmatch:
                return found
    if found is None:
        for index, line in enumerate(lines):
            if line.rstrip(b"\r\n") == wanted:
                found = (index, wanted)
    return found


def _matcher(args: Args) -> Callable[[bytes], re.Match[bytes] | bool | None]:
    if args.regexp is not None:
        return re.compile(_bytes(args.regexp)).search
    if args.search_string is not None:
        text = _bytes(args.search_string)
        return lambda line: text in line
    return lambda _: False


def _place(lines: list[bytes], args: Args) -> int:
    """Return the index at which a new line goes."""
    if args.insertbefore == "BOF" or args.insertafter == "BOF":
        return 0
    pattern = args.insertbefore if args.insertbefore is not None else args.insertafter
    if pattern is None or pattern == "EOF":
        return len(lines)
    search = re.compile(_bytes(pattern)).search
    matches = [index for index, line in enumerate(lines) if search(line)]
    if not matches:
        return len(lines)
    chosen = matches[0] if args.firstmatch else matches[-1]
    return chosen if args.insertbefore is not None else chosen + 1


def remove(lines: list[bytes], args: Args) -> Edit:
    """Return the lines without those that are not wanted."""
    matches = _matcher(args)
    unwanted = _bytes(args.line or "")
    if args.regexp is None and args.search_string is None:
        kept = [line for line in lines if line.rstrip(b"\r\n") != unwanted]
    else:
        kept = [line for line in lines if not matches(line)]
    found = len(lines) - len(kept)
    return Edit(kept, f"{found} line(s) removed" if found else "", found)


def _write(args: Args, data: bytes, edit: Edit, values: JsonObject, exists: bool) -> JsonObject:
    path = Path(args.path)
    result: JsonObject = {}
    if args.backup and exists:
        result["backup"] = back_up(args.path)
    target = str(path.resolve())
    if not exists:
        path.parent.mkdir(parents=True, exist_ok=True)
    with beside(target) as temporary:
        Path(temporary).write_bytes(data)
        if args.validate is not None:
            _check_valid(args.validate, temporary)
        attributes = replace(temporary, target, args)
    if not exists:
        made = _values(args, edit, attributes)
        result["msg"] = made["msg"]
        result["diff"] = [values["diff"][0], made["diff"][1]]
    return result


def _check_valid(command: str, path: str) -> None:
    if "%s" not in command:
        raise ModuleError(f"validate must contain %s: {command}")
    rc, _, stderr, _ = validation(command, path)
    if rc:
        raise ModuleError(f"failed to validate: rc:{rc} error:{stderr}")


MODULE = Module(
    name="lineinfile",
    args=Args,
    plan=plan,
    mutually_exclusive=(
        ("insertbefore", "insertafter"),
        ("regexp", "search_string"),
        ("backrefs", "search_string"),
    ),
)
