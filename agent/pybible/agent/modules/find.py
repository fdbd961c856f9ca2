"""find: lists files, folders and links by name, age, size, mode and content."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.describe import group_name, user_name
from pybible.agent.modules.digests import of_file
from pybible.agent.modules.modes import ModeError, resolve
from pybible.wire.values import JsonObject

_ANY = ["*"]
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_BITS = ("rusr", "wusr", "xusr", "rgrp", "wgrp", "xgrp", "roth", "woth", "xoth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of find."""

    paths: list[PathText] = arg(aliases=("name", "path"), doc="where to look")
    patterns: list[str] = arg(default_factory=_ANY.copy, aliases=("pattern",), doc="names, as shell patterns")
    excludes: list[str] | None = arg(default=None, aliases=("exclude",), doc="names that are left out")
    contains: str | None = arg(default=None, doc="pattern that a line has to match from its beginning")
    read_whole_file: bool = arg(default=False, doc="let the pattern match over lines")
    file_type: Literal["any", "directory", "file", "link"] = arg(default="file", doc="what kind")
    age: str | None = arg(default=None, doc="at least that old; negative: at most")
    age_stamp: Literal["atime", "ctime", "mtime"] = arg(default="mtime", doc="the time that age means")
    size: str | None = arg(default=None, doc="at least that large; negative: at most")
    recurse: bool = arg(default=False, doc="look into folders below")
    hidden: bool = arg(default=False, doc="with names that begin with a dot")
    mode: str | int | None = arg(default=None, raw=True, doc="permissions")
    exact_mode: bool = arg(default=True, doc="exactly these permissions, not at least")
    follow: bool = arg(default=False, doc="follow links to folders")
    get_checksum: bool = arg(default=False, doc="with a sum of each file")
    checksum_algorithm: Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"] = arg(
        default="sha1", aliases=("checksum", "checksum_algo"), doc="the kind of sum"
    )
    use_regex: bool = arg(default=False, doc="the names are regular expressions")
    depth: int | None = arg(default=None, doc="how deep to look")
    encoding: str | None = arg(default=None, doc="encoding of the files that `contains` reads")
    limit: int | None = arg(default=None, doc="stop after so many")


@dataclass(slots=True)
class _Search:
    """One search on its way."""

    args: Args
    age: int | None
    size: int | None
    now: float
    files: list[JsonObject] = field(default_factory=list)
    skipped: JsonObject = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    examined: int = 0

    @property
    def full(self) -> bool:
        """Whether there are as many as asked."""
        return len(self.files) == self.args.limit


def plan(args: Args, context: Context) -> Plan:
    """Look; nothing is ever to change."""
    if args.mode and not isinstance(args.mode, str):
        kind = type(args.mode).__name__
        raise ModuleError(f"argument 'mode' is not a string and conversion is not allowed, value is of type {kind}")
    search = _Search(args, _amount(args.age, "age", _SECONDS), _amount(args.size, "size", _BYTES), time.time())
    if args.limit is not None and args.limit <= 0:
        raise ModuleError(f"limit cannot be {args.limit} (use None for unlimited)")
    for path in args.paths:
        if not Path(path).is_dir():
            search.skipped[path] = f"'{path}' is not a directory"
            search.warnings.append(f"Skipped '{path}' path due to this access issue: {search.skipped[path]}\n")
            continue
        _walk(search, path)
    msg = "All paths examined"
    if search.warnings:
        msg = "Not all paths examined, check warnings for details"
    elif search.full:
        msg = "Limit of matches reached"
    values: JsonObject = {
        "files": search.files, "msg": msg, "matched": len(search.files), "examined": search.examined,
        "skipped_paths": search.skipped,
    }  # fmt: skip
    if search.warnings:
        values["warnings"] = search.warnings
    return Unchanged(values=values)


def _amount(text: str | None, what: str, units: dict[str, int]) -> int | None:
    if text is None:
        return None
    matched = re.fullmatch(rf"(-?\d+)([{''.join(units)}]?)\n?", text.lower())
    if matched is None:
        raise ModuleError(f"failed to process {what}", **{what: text})
    return int(matched[1]) * units.get(matched[2], 1)


def _walk(search: _Search, top: str) -> None:
    args = search.args

    def note(error: OSError) -> None:
        search.skipped[str(error.filename)] = str(error)

    base = os.path.normpath(top).rstrip("/").count("/")
    for root, folders, names in os.walk(top, onerror=note, followlinks=args.follow):
        search.examined += len(names) + len(folders)
        for name in [*names, *folders]:
            path = os.path.normpath(os.path.join(root, name))  # noqa: PTH118  links are not to be resolved
            if args.depth and path.count("/") - base > args.depth:
                folders.clear()
                continue
            if name.startswith(".") and not args.hidden:
                continue
            found = _entry(search, path, name)
            if found is not None:
                search.files.append(found)
            if search.full:
                return
        if not args.recurse:
            return


def _entry(search: _Search, path: str, name: str) -> JsonObject | None:
    args = search.args
    try:
        found = os.lstat(path)
    except OSError as error:
        search.skipped[path] = str(error)
        search.warnings.append(f"Skipped entry {path!r} due to access issue: {error}")
        return None
    regular = stat.S_ISREG(found.st_mode)
    kinds = {"file": regular, "directory": stat.S_ISDIR(found.st_mode), "link": stat.S_ISLNK(found.st_mode)}
    if not kinds.get(args.file_type, True) or not all(_filters(search, path, name, found, regular)):
        return None
    entry: JsonObject = {"path": path, **_described(found)}
    if regular and args.get_checksum:
        entry["checksum"] = of_file(path, args.checksum_algorithm)[0]
    return entry


def _filters(search: _Search, path: str, name: str, found: os.stat_result, regular: bool) -> Iterator[bool]:
    args = search.args
    yield _named(name, args)
    yield _beyond(search.now - getattr(found, f"st_{args.age_stamp}"), search.age)
    if regular:
        yield _beyond(found.st_size, search.size)
    if args.mode:
        yield _has_mode(found, args)
    if args.file_type == "file" and args.contains is not None:
        yield _contains(path, args)


def _named(name: str, args: Args) -> bool:
    patterns = args.patterns or _ANY
    if args.use_regex and patterns == _ANY:
        patterns = [".*"]

    def matches(pattern: str) -> bool:
        return bool(re.match(pattern, name)) if args.use_regex else fnmatch.fnmatch(name, pattern)

    return any(map(matches, patterns)) and not any(map(matches, args.excludes or ()))


def _beyond(value: float, limit: int | None) -> bool:
    if limit is None:
        return True
    return value >= abs(limit) if limit >= 0 else value <= abs(limit)


def _has_mode(found: os.stat_result, args: Args) -> bool:
    try:
        wanted = resolve(str(args.mode), 0, directory=False, umask=0)
    except ModeError as error:
        raise ModuleError(str(error)) from error
    mode = stat.S_IMODE(found.st_mode)
    return mode == wanted if args.exact_mode else bool(mode & wanted)


def _contains(path: str, args: Args) -> bool:
    pattern = re.compile(args.contains or "")
    try:
        with Path(path).open(encoding=args.encoding) as stream:
            if args.read_whole_file:
                return bool(pattern.search(stream.read()))
            return any(pattern.match(line) for line in stream)
    except UnicodeDecodeError as error:
        reason = f"due to an encoding error. current encoding: {args.encoding or 'utf-8'}"
        raise ModuleError(f"Failed to read the file {path} {reason}") from error
    except OSError:
        return False


def _described(found: os.stat_result) -> JsonObject:
    mode = found.st_mode
    kinds = {
        "isdir": stat.S_ISDIR, "ischr": stat.S_ISCHR, "isblk": stat.S_ISBLK, "isreg": stat.S_ISREG,
        "isfifo": stat.S_ISFIFO, "islnk": stat.S_ISLNK, "issock": stat.S_ISSOCK,
    }  # fmt: skip
    values: JsonObject = {
        "mode": f"{stat.S_IMODE(mode):04o}", "uid": found.st_uid, "gid": found.st_gid, "size": found.st_size,
        "inode": found.st_ino, "dev": found.st_dev, "nlink": found.st_nlink, "atime": found.st_atime,
        "mtime": found.st_mtime, "ctime": found.st_ctime, "gr_name": group_name(found.st_gid),
        "pw_name": user_name(found.st_uid), "isuid": bool(mode & stat.S_ISUID), "isgid": bool(mode & stat.S_ISGID),
    }  # fmt: skip
    values |= {name: test(mode) for name, test in kinds.items()}
    values |= {name: bool(mode & getattr(stat, f"S_I{name.upper()}")) for name in _BITS}
    return values


MODULE = Module(name="find", args=Args, plan=plan)
