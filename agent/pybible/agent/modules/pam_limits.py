"""pam_limits: makes sure that a limit is in PAM's limits.conf."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from pybible.agent.modules.api import Change, Context, FileAttributes, Module, ModuleError, Plan, Unchanged, arg
from pybible.agent.modules.files import back_up, beside, replace
from pybible.wire.values import JsonObject

_Item = Literal[
    "core", "data", "fsize", "memlock", "nofile", "rss", "stack", "cpu", "nproc", "as", "maxlogins", "maxsyslogins",
    "priority", "locks", "sigpending", "msgqueue", "nice", "rtprio", "chroot",
]  # fmt: skip
_ITEMS = get_args(_Item)
_KINDS = ("soft", "hard", "-")
_UNLIMITED = ("unlimited", "infinity", "-1")
_SIGNED = ("nice", "priority")
_MANUAL = "Refer to the limits.conf(5) manual pages for more details."


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of pam_limits."""

    domain: str = arg(doc="a user, @group, %group, *, or a range of numbers")
    limit_type: Literal["soft", "hard", "-"] = arg(doc="which limit; -: both")
    limit_item: _Item = arg(doc="what is limited")
    value: str = arg(doc="the limit: a number, or unlimited, infinity or -1; of nice and priority -20 to 19")
    use_max: bool = arg(default=False, doc="leave a limit that is higher")
    use_min: bool = arg(default=False, doc="leave a limit that is lower")
    backup: bool = arg(default=False, doc="keep the old file under another name")
    dest: str = arg(default="/etc/security/limits.conf", doc="the file")
    comment: str = arg(default="", doc="a comment behind the limit")

    @property
    def key(self) -> list[str]:
        """The fields that a line has to have."""
        return [self.domain, self.limit_type, self.limit_item]


@dataclass(frozen=True, slots=True)
class Edit:
    """The text afterwards, and the line that says the limit in it."""

    text: str
    line: str


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what is asked."""
    path = Path(args.dest)
    if path.is_file():
        if not os.access(path, os.W_OK):
            raise ModuleError(f"{args.dest} is not writable. Use sudo")
    elif not os.access(path.parent, os.W_OK):
        raise ModuleError(f"directory {path.parent} is not writable (check presence, access rights, use sudo)")
    if args.use_max and args.use_min:
        raise ModuleError("Cannot use use_min and use_max at the same time.")
    _check(args.limit_item, args.value, "")
    before = path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""
    edited = edit(before, args)
    values: JsonObject = {"msg": edited.line, "diff": {"before": before, "after": edited.text}}
    if edited.text == before:
        return Unchanged(values=values, described=False)
    return Change(values=values, apply=partial(_write, args, edited.text))


def _check(item: str, value: str, where: str) -> None:
    number = _number(value)
    if item in _SIGNED:
        good = number is not None and -20 <= number <= 19
        rule = "Value must be a number in the range -20 to 19 inclusive."
    else:
        good = value in _UNLIMITED or (number is not None and number >= 0)
        rule = (
            "Value must either be 'unlimited', 'infinity' or -1, all of which indicate no limit, or a limit of 0 or "
            "larger."
        )
    if not good:
        raise ModuleError(f"{where} Value of '{value}' for item '{item}' is invalid. {rule} {_MANUAL}")


def _number(value: str) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


def parse(line: str) -> tuple[list[str], str]:
    """Return domain, kind, item and value of a line, and its comment. A line that is no limit has no fields."""
    text, mark, comment = line.rstrip("\n").partition("#")
    fields = text.split()
    return (fields, mark + comment) if len(fields) == 4 else ([], "")


def edit(text: str, args: Args) -> Edit:
    """Return the text with the limit in it. Text in, text out."""
    said = ""
    after = []
    for line in text.removesuffix("\n").split("\n") if text else []:
        fields, comment = parse(line)
        if fields and fields[1] in _KINDS and fields[2] in _ITEMS:
            _check(fields[2], fields[3], f"Invalid configuration found in '{args.dest}'.")
        new = line
        if fields[:3] == args.key:
            value = _value(args, fields[3])
            if value != fields[3]:
                new = _line(args, value, comment)
            said = f"{new}\n"
        after.append(new)
    if not said:
        after.append(_line(args, args.value, ""))
        said = f"{after[-1]}\n"
    whole = "".join(f"{line}\n" for line in after)
    # A limit that is there leaves the text as it is, an open end included.
    return Edit(text if whole.removesuffix("\n") == text else whole, said)


def _value(args: Args, current: str) -> str:
    if not args.use_max and not args.use_min:
        return args.value
    choose = max if args.use_max else min
    return choose((current, args.value), key=partial(_size, args.limit_item))


def _size(item: str, value: str) -> float:
    return math.inf if value in _UNLIMITED and item not in _SIGNED else int(value)


def _line(args: Args, value: str, comment: str) -> str:
    words = [*args.key, value]
    if args.comment:
        words.append(f"#{args.comment}")
    elif comment:
        words.append(comment)
    return "\t".join(words)


def _write(args: Args, text: str) -> JsonObject:
    backup = back_up(args.dest) if args.backup else ""
    # A link is replaced, as the stock module does.
    with beside(args.dest) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "surrogateescape"))
        replace(temporary, args.dest, FileAttributes())
    return {"backup_file": backup} if backup else {}


MODULE = Module(name="pam_limits", args=Args, plan=plan)
