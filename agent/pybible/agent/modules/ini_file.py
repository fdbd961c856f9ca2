"""ini_file: makes sure that an option is, or is not, in a section of an INI-like file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
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
    suboptions,
)
from pybible.agent.modules.attributes import AttributeChange, plan_attributes
from pybible.agent.modules.files import back_up, beside, replace
from pybible.wire.values import JsonObject

_Match = Callable[[str], "re.Match[str] | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a section has to have to be the one that is meant."""

    option: str = arg(doc="an option")
    value: str | None = arg(default=None, doc="its value")
    values: list[str] | None = arg(default=None, doc="its value, one of these")

    @property
    def any_of(self) -> list[str]:
        """The values; none: any will do."""
        return [self.value] if self.value is not None else list(self.values or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of ini_file."""

    path: PathText = arg(aliases=("dest",), doc="the file")
    section: str | None = arg(default=None, doc="the section; without it, what comes before the first one")
    section_has_values: list[dict[str, object]] | None = arg(
        default=None,
        suboptions=suboptions(Wanted, mutually_exclusive=(("value", "values"),)),
        doc="of several sections of that name the first that has these: option, and value or values",
    )
    option: str | None = arg(default=None, doc="the option; without it, the whole section")
    value: str | None = arg(default=None, doc="its value")
    values: list[str] | None = arg(default=None, doc="its values, one a line")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    state: Literal["absent", "present"] = arg(default="present", doc="whether it is to be there")
    exclusive: bool = arg(default=True, doc="take out, or replace, the option's other values")
    no_extra_spaces: bool = arg(default=False, doc="no spaces around =")
    ignore_spaces: bool = arg(default=False, doc="leave a line that differs in spaces only")
    create: bool = arg(default=True, doc="make the file when there is none")
    allow_no_value: bool = arg(default=False, doc="an option may be without = and value")
    modify_inactive_option: bool = arg(default=True, doc="a line that is commented out may be put to use")
    follow: bool = arg(default=False, doc="write through a link")

    def line(self, option: str, value: str) -> str:
        """Return an option's line."""
        return f"{option}={value}\n" if self.no_extra_spaces else f"{option} = {value}\n"

    @property
    def wanted_values(self) -> list[str]:
        """The values, each once."""
        given = [self.value] if self.value is not None else self.values or []
        return list(dict.fromkeys(given))

    @property
    def having(self) -> list[Wanted]:
        """What the section has to have."""
        return [Wanted(**item) for item in self.section_has_values or ()]  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Edit:
    """The text afterwards, whether that is a change, and what it was, in the result's words."""

    text: str
    changed: bool
    msg: str = "OK"


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what is asked."""
    path = Path(args.path)
    if args.state == "present" and not args.allow_no_value and not args.wanted_values:
        raise ModuleError("Parameter 'value(s)' must be defined if state=present and allow_no_value=False.")
    exists = path.exists()
    if not exists and not args.create:
        raise ModuleError(f"Destination {args.path} does not exist!", rc=257)
    if path.is_dir():
        raise ModuleError(f"Path {args.path} is a directory !", rc=256)
    before = _read(path) if exists else ""
    edited = edit(before, args)
    values: JsonObject = {"path": args.path, "msg": edited.msg, "diff": _diff(args, before, edited.text, context)}
    if edited.changed:
        return Change(values=values, apply=partial(_write, args, edited.text))
    attributes = plan_attributes(args.path, args) if exists else AttributeChange()
    # In check mode the stock module looks at the text alone.
    if attributes and not context.check:
        return Change(values=values, apply=attributes.apply)
    return Unchanged(values=values)


def _read(path: Path) -> str:
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    return re.sub("\r\n?", "\n", data.decode("utf-8", "surrogateescape"))


def _diff(args: Args, before: str, after: str, context: Context) -> JsonObject:
    header = f"{args.path} (content)"
    shown = (before, after) if context.diff else ("", "")
    return {"before": shown[0], "after": shown[1], "before_header": header, "after_header": header}


def edit(text: str, args: Args) -> Edit:
    """Return the text with the option as it is wanted. Text in, text out."""
    lines = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]
    found = _section(lines, args)
    if args.state == "absent" and args.option is None:
        if found is None or not args.section:
            return _unchanged(text, lines)
        return Edit("".join(lines[: found[0] - 1] + lines[found[1] :]), changed=True, msg="section removed")
    if found is None:
        if args.state == "absent":
            return _unchanged(text, lines)
        msg = "only section added" if args.option is None else "section and option added"
        return Edit("".join([*lines, *_new_section(args)]), changed=True, msg=msg)
    if args.option is None:
        return _unchanged(text, lines)
    start, end = found
    body = lines[start:end]
    after, msg = _removed(body, args) if args.state == "absent" else _set(body, args)
    if after == body:
        return _unchanged(text, lines)
    return Edit("".join(lines[:start] + after + lines[end:]), changed=True, msg=msg)


def _unchanged(text: str, lines: list[str]) -> Edit:
    """Return what is left to do: the newline at the end of the last line."""
    if not text or text.endswith("\n"):
        return Edit(text, changed=False)
    return Edit("".join(lines), changed=True)


def _section(lines: list[str], args: Args) -> tuple[int, int] | None:
    """Return where the section's lines begin, and end, without its header."""
    headers = [index for index, line in enumerate(lines) if line.startswith("[")]
    if not args.section:
        return 0, headers[0] if headers else len(lines)
    name = re.compile(rf"\[\s*{re.escape(args.section.strip())}\s*\]")
    for header, end in pairwise([*headers, len(lines)]):
        if name.match(lines[header]) and _has(lines[header + 1 : end], args.having):
            return header + 1, end
    return None


def _has(body: list[str], having: list[Wanted]) -> bool:
    return all(
        any(match and (not item.any_of or match["value"] in item.any_of) for match in map(_matcher(item.option), body))
        for item in having
    )


def _matcher(option: str, *, active: bool = False) -> _Match:
    out = "" if active else "[#;]?"
    pattern = rf"[ \t]*(?P<out>{out})[ \t]*{re.escape(option)}[ \t]*(=|$)[ \t]*(?P<value>.*)"
    return re.compile(pattern).match


def _new_section(args: Args) -> list[str]:
    lines = [f"[{args.section}]\n"]
    for item in args.having:
        if item.option != args.option:
            lines += [args.line(item.option, value) for value in item.any_of]
    if args.option is not None:
        lines += _new_lines(args.option, args.wanted_values, args)
    return lines


def _new_lines(option: str, values: list[str], args: Args) -> list[str]:
    return [args.line(option, value) for value in values] if args.wanted_values else [f"{option}\n"]


def _removed(body: list[str], args: Args) -> tuple[list[str], str]:
    matches = _matcher(args.option or "", active=True)

    def goes(line: str) -> bool:
        match = matches(line)
        return match is not None and (args.exclusive or match["value"] in args.wanted_values)

    return [line for line in body if not goes(line)], "option changed"


def _set(body: list[str], args: Args) -> tuple[list[str], str]:
    """Return the section's lines with the option set, and what that was."""
    option = args.option or ""
    matches = _matcher(option, active=not args.modify_inactive_option)
    pending = args.wanted_values
    if not pending:
        return _set_without_value(body, option, matches)
    kept: list[str | None] = list(body)
    others = []
    for index, line in enumerate(body):
        match = matches(line)
        if match is None:
            continue
        if match["value"] in pending:
            pending.remove(match["value"])
            kept[index] = _kept(line, match, option, args)
        else:
            others.append(index)
    if args.exclusive and not args.allow_no_value:
        for index in others:
            kept[index] = args.line(option, pending.pop(0)) if pending else None
    after = [line for line in kept if line is not None]
    if not pending:
        return after, "option changed"
    return _inserted(after, _new_lines(option, pending, args)), "option added"


def _set_without_value(body: list[str], option: str, matches: _Match) -> tuple[list[str], str]:
    index = next((index for index, line in enumerate(body) if matches(line)), None)
    if index is None:
        return _inserted(body, [f"{option}\n"]), "option added"
    return [*body[:index], f"{option}\n", *body[index + 1 :]], "option changed"


def _kept(line: str, match: re.Match[str], option: str, args: Args) -> str:
    """Return the line of a value that stays."""
    if args.ignore_spaces and not match["out"]:
        return line
    if not match["value"] and args.allow_no_value:
        return f"{option}\n"
    return args.line(option, match["value"])


def _inserted(body: list[str], new: list[str]) -> list[str]:
    """Put lines behind the last one that says something."""
    index = len(body)
    while index and re.match(r"[ \t]*([#;].*)?$", body[index - 1]):
        index -= 1
    return [*body[:index], *new, *body[index:]]


def _write(args: Args, text: str) -> JsonObject:
    result: JsonObject = {}
    if args.backup and Path(args.path).exists():
        result["backup_file"] = back_up(args.path)
    target = os.path.realpath(args.path) if args.follow else args.path
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    with beside(target) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "surrogateescape"))
        replace(temporary, target, args)
    return result


MODULE = Module(name="ini_file", args=Args, plan=plan, mutually_exclusive=(("value", "values"),))
