"""replace: replaces every match of a pattern in a text file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules.api import (
    Change,
    Context,
    Diff,
    FileAttributes,
    Module,
    ModuleError,
    PathText,
    Plan,
    Unchanged,
    arg,
)
from pybible.agent.modules.attributes import plan_attributes
from pybible.agent.modules.rewrite import ATTRIBUTES_CHANGED, rewrite
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of replace."""

    path: PathText = arg(aliases=("dest", "destfile", "name"), doc="the file")
    regexp: str = arg(doc="what is replaced; ^ and $ match at lines")
    replace: str = arg(default="", doc="what it becomes, with groups of the pattern")
    after: str | None = arg(default=None, doc="pattern: replace only what follows")
    before: str | None = arg(default=None, doc="pattern: replace only what comes before")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    validate: str | None = arg(default=None, doc="command that has to accept the new file, %s, before it is used")
    encoding: str = arg(default="utf-8", doc="the file's encoding")


@dataclass(frozen=True, slots=True)
class Edit:
    """The text afterwards, and in how many places it changed. `missed`: the section that was not found."""

    text: str
    count: int
    shown: str
    missed: str = ""


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what becomes of it."""
    path = Path(args.path)
    if path.is_dir():
        raise ModuleError(f"Path {args.path} is a directory !", rc=256)
    if not path.exists():
        raise ModuleError(f"Path {args.path} does not exist !", rc=257)
    before = path.read_bytes().decode(args.encoding, "surrogateescape" if args.encoding == "utf-8" else "strict")
    edit = substitute(before, args)
    if edit.missed:
        msg = f"Pattern for before/after params did not match the given file: {edit.missed}"
        return Unchanged(values={"rc": 0, "msg": msg})
    changed = edit.text != before
    attributes = plan_attributes(args.path, args)
    said = [f"{edit.count} replacements made"] if changed else []
    if attributes:
        said.append(ATTRIBUTES_CHANGED)
    values: JsonObject = {"rc": 0, "msg": " and ".join(said)}
    if not changed:
        return Change(values=values, apply=attributes.apply) if attributes else Unchanged(values=values)
    diff = Diff(before, edit.shown, before_header=args.path, after_header=args.path)
    return Change(values=values, diff=diff, apply=partial(_write, args, edit.text))


def substitute(text: str, args: Args) -> Edit:
    """Return the text with all matches replaced, within the section when there is one. Text in, text out."""
    start, end = 0, len(text)
    if args.after or args.before:
        lazy = "?" if args.after and args.before else ""
        section = f"{args.after or ''}(?P<subsection>.*{lazy}){args.before or ''}"
        found = re.compile(section, re.DOTALL).search(text)
        if found is None:
            return Edit(text, 0, text, missed=section)
        start, end = found.span("subsection")
    pattern = re.compile(args.regexp, re.MULTILINE)
    try:
        inner, count = pattern.subn(args.replace, text[start:end])
    except re.error as error:
        raise ModuleError(f"Unable to process replace due to error: {error}") from error
    whole = text[:start] + inner + text[end:]
    return Edit(whole, count, whole)


def _write(args: Args, text: str) -> JsonObject:
    data = text.encode(args.encoding, "surrogateescape" if args.encoding == "utf-8" else "strict")
    backup, _ = rewrite(args, args, data)
    return {"backup_file": backup} if backup else {}


MODULE = Module(name="replace", args=Args, plan=plan)
