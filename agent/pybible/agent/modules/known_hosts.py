"""known_hosts: makes sure that a host's key is, or is not, in a file of known hosts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

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
from pybible.agent.modules.files import beside, replace
from pybible.wire.values import JsonObject

_HASHED = re.compile(r"^\|1\|([A-Za-z0-9+/=]+)\|([A-Za-z0-9+/=]+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of known_hosts."""

    name: str = arg(aliases=("host",), doc="the host")
    key: str | None = arg(default=None, no_log=False, doc="the line: host, kind of key, key")
    path: PathText = arg(default="~/.ssh/known_hosts", doc="the file")
    hash_host: bool = arg(default=False, doc="write the name so that nobody can read it")
    state: Literal["absent", "present"] = arg(default="present", doc="whether the key is to be there")


def plan(args: Args, context: Context) -> Plan:
    """Compare the file with what is asked."""
    path = Path(args.path).expanduser()
    if args.state == "present" and args.key is None:
        raise ModuleError("No key specified when adding a host")
    before = path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""
    lines = before.splitlines(keepends=True)
    after = "".join(remove(lines, args) if args.state == "absent" else put(lines, args))
    values: JsonObject = {"name": args.name, "key": args.key, "path": str(args.path), "state": args.state}
    values["hash_host"] = args.hash_host
    if after == before and context.check:
        # The stock module says no more.
        return Unchanged()
    if after == before:
        return Unchanged(values=values)
    diff = Diff(before, after, before_header=str(path) if before else "/dev/null", after_header=str(path))
    return Change(diff=diff, apply=partial(_write, path, after, values))


def matches(field: str, name: str) -> bool:
    """Return whether a line's first field names the host, hashed or not."""
    hashed = _HASHED.match(field)
    if hashed is None:
        return name in field.split(",")
    salt = base64.b64decode(hashed[1])
    made = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return hmac.compare_digest(base64.b64encode(made).decode(), hashed[2])


def _fields(line: str) -> tuple[str, str, str] | None:
    """Return host, kind and key of a line, None when it has none."""
    words = line.split()
    if words and words[0].startswith("@"):
        words = words[1:]
    return (words[0], words[1], words[2]) if len(words) > 2 and not words[0].startswith("#") else None


def remove(lines: list[str], args: Args) -> list[str]:
    """Return the lines without the host's keys, or without the one that is given."""
    given = _fields(args.key or "")
    kept = []
    for line in lines:
        fields = _fields(line)
        named = fields is not None and matches(fields[0], args.name)
        if named and (given is None or (fields is not None and fields[1:] == given[1:])):
            continue
        kept.append(line)
    return kept


def put(lines: list[str], args: Args) -> list[str]:
    """Return the lines with the key, in the place of another of its kind."""
    given = _fields(args.key or "")
    if given is None:
        raise ModuleError(f"Host parameter does not match hashed host field in supplied key: {args.key}")
    if not matches(given[0], args.name) and args.name not in given[0]:
        raise ModuleError("Host parameter does not match hashed host field in supplied key")
    text = f"{args.key}".strip() + "\n"
    if args.hash_host and not given[0].startswith("|"):
        text = f"{hashed_name(args.name)} {given[1]} {given[2]}\n"
    kept: list[str] = []
    for line in lines:
        fields = _fields(line)
        if fields is None or not matches(fields[0], args.name) or fields[1] != given[1]:
            kept.append(line)
        elif fields[2] == given[2] and fields[0].startswith("|") == (args.hash_host or given[0].startswith("|")):
            return lines
    if kept and not kept[-1].endswith("\n"):
        kept[-1] += "\n"
    return [*kept, text]


def hashed_name(name: str) -> str:
    """Return the host's name as ssh hashes it, with a new salt."""
    salt = os.urandom(20)
    made = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(made).decode()}"


def _write(path: Path, text: str, values: JsonObject) -> JsonObject:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = os.path.realpath(path)
    mode = None if path.exists() else 0o644
    with beside(target) as temporary:
        Path(temporary).write_text(text, encoding="utf-8", errors="surrogateescape")
        replace(temporary, target, FileAttributes(), mode=mode)
    return values


MODULE = Module(name="known_hosts", args=Args, plan=plan)
