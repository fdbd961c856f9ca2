"""file: makes sure that a path is there or not, as what, and with which owner and permissions."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
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
from pybible.agent.modules.attributes import AttributeChange, group_id, plan_attributes, user_id
from pybible.agent.modules.describe import kind_of
from pybible.agent.modules.files import lstat
from pybible.wire.values import JsonObject, JsonValue

_TIME_FORMAT = "%Y%m%d%H%M.%S"

State = Literal["absent", "directory", "file", "hard", "link", "touch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of file."""

    path: PathText = arg(aliases=("dest", "name"), doc="the path to take care of")
    state: State | None = arg(default=None, doc="what it is to be; as it is when not given")
    src: PathText | None = arg(default=None, doc="where a link leads")
    recurse: bool = arg(default=False, doc="set owner and permissions on all that a directory holds")
    force: bool = arg(default=False, doc="make a link to nothing, or in the place of a file")
    follow: bool = arg(default=True, doc="work on what a link leads to")
    modification_time: str | None = arg(default=None, doc="preserve, now, or a time in the format below")
    modification_time_format: str = arg(default=_TIME_FORMAT, doc="as of strftime")
    access_time: str | None = arg(default=None, doc="preserve, now, or a time in the format below")
    access_time_format: str = arg(default=_TIME_FORMAT, doc="as of strftime")
    _original_basename: str | None = arg(default=None)
    _diff_peek: bool | None = arg(default=None)


@dataclass(frozen=True, slots=True)
class Times:
    """The times that a file is to have; None leaves one as it is."""

    accessed: float | None
    modified: float | None


def plan(args: Args, context: Context) -> Plan:
    """Compare the path with what is asked for."""
    warnings: JsonObject = {"warnings": _unknown(args)} if context.check and args.state != "absent" else {}
    if not warnings.get("warnings"):
        return _planned(args, context)
    try:
        found = _planned(args, context)
    except ModuleError as error:
        error.values.update(warnings)
        raise
    if found is not None:
        found.values.update(warnings)
    return found


def _unknown(args: Args) -> list[JsonValue]:
    """Return what check mode says of an owner and a group that are not there yet."""
    found: list[JsonValue] = []
    for kind, name, look_up in (("user", args.owner, user_id), ("group", args.group, group_id)):
        try:
            if name is not None:
                look_up(name, args.path)
        except ModuleError:
            found.append(f"failed to look up {kind} {name}. Create {kind} up to this point in real play")
    return found


def _planned(args: Args, context: Context) -> Plan:
    before = state_of(args.path)
    state = args.state or (before if before != "absent" else "directory" if args.recurse else "file")
    if args.recurse and state != "directory":
        raise ModuleError("recurse option requires state to be 'directory'", path=args.path)
    if args.src and state not in ("link", "hard"):
        raise ModuleError("src option requires state to be 'link' or 'hard'", path=args.path)
    if state in ("link", "hard"):
        from pybible.agent.modules.links import plan_hard, plan_link

        return (plan_link if state == "link" else plan_hard)(args, before, context)
    if state == "absent":
        return _plan_absent(args.path, before)
    if state == "directory":
        return _plan_directory(args, before, context)
    if state == "touch":
        return _plan_touch(args, before, context)
    return _plan_file(args, before)


def state_of(path: str) -> str:
    """Return what lies at `path`: absent, link, directory, hard or file."""
    found = lstat(path)
    return "absent" if found is None else kind_of(found)


def target_of(args: Args) -> str:
    """Return the path whose attributes are meant."""
    return os.path.realpath(args.path) if args.follow and os.path.islink(args.path) else args.path  # noqa: PTH114


def state_diff(path: str, before: JsonObject, after: JsonObject) -> JsonObject:
    """Return a diff of two states of a path, without what is the same in both."""
    names = [name for name in (before | after) if before.get(name) != after.get(name)]
    return {
        "before": {"path": path} | {name: before[name] for name in names if name in before},
        "after": {"path": path} | {name: after[name] for name in names if name in after},
    }


def _plan_absent(path: str, before: str) -> Plan:
    if before == "absent":
        return Unchanged(values={"path": path, "state": "absent"})
    diff: JsonObject = {"before": {"path": path, "state": before}, "after": {"path": path, "state": "absent"}}
    if before == "directory":
        diff["before"]["path_content"] = _content(path)
    return Change(values={"path": path, "state": "absent"}, diff=diff, apply=partial(_remove, path, before))


def _content(path: str) -> JsonValue:
    content: dict[str, list[str]] = {"directories": [], "files": []}
    for folder, directories, files in os.walk(path):
        content["directories"] += [str(Path(folder) / name) for name in directories]
        content["files"] += [str(Path(folder) / name) for name in files]
    return content


def _remove(path: str, before: str) -> None:
    try:
        if before == "directory":
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)
    except OSError as error:
        failure = "rmtree failed" if before == "directory" else "unlinking failed"
        raise ModuleError(f"{failure}: {error}", path=path) from error


def _plan_file(args: Args, before: str) -> Plan:
    path = target_of(args)
    state = state_of(path) if path != args.path else before
    if state not in ("file", "hard"):
        values = {"state": "absent"} if state == "absent" else {}
        raise ModuleError(f"file ({path}) is {state}, cannot continue", path=path, **values)
    change = plan_attributes(path, args)
    diff = state_diff(path, {"state": state, **change.before}, {"state": "file", **change.after})
    times = _times(args, default="preserve")
    if _times_differ(path, times):
        _add_times(diff, path, times)
        change.steps.append(partial(_set_times, path, times))
    if not change:
        return Unchanged(values={"path": path}, diff=diff)
    return Change(values={"path": path}, diff=diff, apply=change.apply)


def _plan_directory(args: Args, before: str, context: Context) -> Plan:
    path = target_of(args)
    state = state_of(path) if path != args.path else before
    if state == "absent":
        diff = state_diff(path, {"state": "absent"}, {"state": "directory"})
        return Change(values={"path": path}, diff=diff, apply=partial(_make_directories, args, path, context.diff))
    if state != "directory":
        raise ModuleError(f"{path} already exists as a {state}", path=path)
    top = plan_attributes(path, args)
    diff = state_diff(path, top.before, top.after)
    steps = [*top.steps]
    if args.recurse:
        for below in _below(path, args):
            steps += below.steps
    times = _times(args, default="preserve")
    if _times_differ(path, times):
        _add_times(diff, path, times)
        steps.append(partial(_set_times, path, times))
    if not steps:
        return Unchanged(values={"path": path}, diff=diff)
    return Change(values={"path": path}, diff=diff, apply=AttributeChange(steps=steps).apply)


def _make_directories(args: Args, path: str, with_diff: bool) -> JsonObject | None:
    diff = state_diff(path, {"state": "absent"}, {"state": "directory"})
    missing: list[Path] = []
    folder = Path(path)
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        try:
            new.mkdir(exist_ok=True)
        except OSError as error:
            cause = f"[Errno {error.errno}] {error.strerror}: {os.fsencode(new)!r}"
            raise ModuleError(f"There was an issue creating {new} as requested: {cause}", path=path) from error
        # What a new directory has by default is known only now.
        change = plan_attributes(str(new), args)
        diff["before"].update(change.before)
        diff["after"].update(change.after)
        change.apply()
    if args.recurse:
        for below in _below(path, args):
            below.apply()
    return {"diff": diff} if with_diff else None


def _below(path: str, args: Args) -> Iterator[AttributeChange]:
    for folder, directories, files in os.walk(path):
        for name in (*directories, *files):
            found = str(Path(folder) / name)
            yield plan_attributes(found, args)
            if args.follow and Path(found).is_symlink() and Path(found).exists():
                target = os.path.realpath(found)
                yield plan_attributes(target, args)
                if Path(target).is_dir():
                    yield from _below(target, args)


def _plan_touch(args: Args, before: str, context: Context) -> Plan:
    path = target_of(args)
    times = _times(args, default="now")
    if before == "absent":
        return Change(values={"dest": args.path}, apply=partial(_touch_new, args, path, times, context.diff))
    if lstat(path) is None:
        cause = f"[Errno {errno.ENOENT}] {os.strerror(errno.ENOENT)}: {os.fsencode(path)!r}"
        raise ModuleError(f"Error while updating modification or access time: {cause}", path=path)
    change = plan_attributes(path, args)
    diff = {
        "before": {"path": path, "state": before, **change.before},
        "after": {"path": path, "state": "touch", **change.after},
    }
    if not change and times == Times(None, None):
        return Unchanged(values={"dest": args.path}, diff=diff)
    _add_times(diff, path, times)
    if not change and not _times_differ(path, times):
        return Unchanged(values={"dest": args.path}, diff=diff)
    change.steps.append(partial(_set_times, path, times))
    return Change(values={"dest": args.path}, diff=diff, apply=change.apply)


def _touch_new(args: Args, path: str, times: Times, with_diff: bool) -> JsonObject | None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
    except OSError as error:
        # ansible-core's module has the path as bytes, and tells it so.
        cause = f"[Errno {error.errno}] {error.strerror}: {os.fsencode(path)!r}"
        raise ModuleError("Error, could not touch target.", cause=cause, path=path) from error
    diff = state_diff(path, {"state": "absent"}, {"state": "touch"})
    change = plan_attributes(path, args)
    diff["before"].update(change.before)
    diff["after"].update(change.after)
    _add_times(diff, path, times)
    change.apply()
    _set_times(path, times)
    return {"diff": diff} if with_diff else None


def _times(args: Args, *, default: str) -> Times:
    return Times(
        _time(args.access_time or default, args.access_time_format),
        _time(args.modification_time or default, args.modification_time_format),
    )


def _time(text: str, shape: str) -> float | None:
    if text == "preserve":
        return None
    if text == "now":
        return time.time()
    try:
        return time.mktime(time.strptime(text, shape))
    except (ValueError, OverflowError) as error:
        raise ModuleError(f"Error while obtaining timestamp for time {text} using format {shape}: {error}") from error


def _times_differ(path: str, times: Times) -> bool:
    if times == Times(None, None):
        return False
    found = lstat(path)
    if found is None:
        return True
    return times.accessed not in (None, found.st_atime) or times.modified not in (None, found.st_mtime)


def _add_times(diff: JsonObject, path: str, times: Times) -> None:
    found = lstat(path)
    if found is None:
        return
    for name, before, after in (("mtime", found.st_mtime, times.modified), ("atime", found.st_atime, times.accessed)):
        if after is not None and after != before:
            diff["before"][name] = before
            diff["after"][name] = after


def _set_times(path: str, times: Times) -> None:
    try:
        found = os.stat(path)  # noqa: PTH116
        accessed = found.st_atime if times.accessed is None else times.accessed
        modified = found.st_mtime if times.modified is None else times.modified
        os.utime(path, (accessed, modified))
    except OSError as error:
        cause = f"[Errno {error.errno}] {error.strerror}: {os.fsencode(path)!r}"
        raise ModuleError(f"Error while updating modification or access time: {cause}", path=path) from error


MODULE = Module(name="file", args=Args, plan=plan)
