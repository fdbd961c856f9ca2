"""links: the two states of the file module that are links."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Change, Context, ModuleError, Plan, Unchanged
from pybible.agent.modules.attributes import AttributeChange, plan_attributes
from pybible.agent.modules.describe import kind_of
from pybible.agent.modules.files import lstat
from pybible.wire.values import JsonObject

if TYPE_CHECKING:
    from pybible.agent.modules.file import Args

_NO_TARGET = "Cannot set fs attributes on a non-existent symlink target. follow should be set to False to avoid this."


def plan_link(args: Args, before: str, context: Context) -> Plan:
    """Compare `path` with a symbolic link to `src`."""
    path, src = args.path, args.src
    if src is None and before != "link":
        raise ModuleError("src is required for creating new symlinks")
    if src is None and args.follow:
        src = os.readlink(path)  # noqa: PTH115  as it is written
    values: JsonObject = {"dest": path, "src": src}
    if args.src is not None:
        _check_target(path, args.src, before, force=args.force)
    current = os.readlink(path) if before == "link" else None  # noqa: PTH115
    if args.src is None or current == args.src:
        return _plan_attributes(args, values, context)
    if before == "link":
        diff = {"before": {"path": path, "src": current}, "after": {"path": path, "src": args.src}}
    else:
        diff = {"before": {"path": path, "state": before}, "after": {"path": path, "state": "link"}}
    return Change(values=values, diff=diff, apply=partial(_make_link, args, args.src, before))


def _check_target(path: str, src: str, before: str, *, force: bool) -> None:
    folder = Path(path) if before == "directory" else Path(path).parent
    if not force and not (folder / src).exists():
        absolute = str(folder / src)
        message = f"src file does not exist, use 'force=yes' if you really want to create the link: {absolute}"
        raise ModuleError(message, path=path, src=src)
    if before == "directory":
        if not force:
            raise ModuleError(f"refusing to convert from directory to symlink for {path}", path=path)
        if next(Path(path).iterdir(), None) is not None:
            raise ModuleError(f"the directory {path} is not empty, refusing to convert it", path=path)
    if before in ("file", "hard") and not force:
        raise ModuleError(f"refusing to convert from {before} to symlink for {path}", path=path)


def _plan_attributes(args: Args, values: JsonObject, context: Context) -> Plan:
    change, warnings = _attributes(args)
    diff = {"before": {"path": args.path, **change.before}, "after": {"path": args.path, **change.after}}
    if warnings and not context.check:
        values = {**values, "warnings": warnings}
    if not change:
        return Unchanged(values=values, diff=diff)
    return Change(values=values, diff=diff, apply=change.apply)


def _attributes(args: Args) -> tuple[AttributeChange, list[str]]:
    target = os.path.realpath(args.path) if args.follow else args.path
    if args.follow and not Path(target).exists():
        return AttributeChange(), [_NO_TARGET]
    return plan_attributes(target, args), []


def _make_link(args: Args, src: str, before: str) -> JsonObject | None:
    try:
        if before == "directory":
            Path(args.path).rmdir()
        _put(args.path, partial(os.symlink, src))
    except OSError as error:
        raise ModuleError(f"Error while linking: {error}", path=args.path) from error
    change, warnings = _attributes(args)
    change.apply()
    return {"warnings": warnings} if warnings else None


def _put(path: str, link: partial[None]) -> None:
    # Beside it and renamed: there is no moment without the path.
    folder, name = os.path.split(path.rstrip("/"))
    temporary = str(Path(folder or ".") / f".{name[:100]}.{os.urandom(6).hex()}.pybible")
    link(temporary)
    try:
        Path(temporary).replace(path.rstrip("/"))
    finally:
        # Renaming one name of a file over another does nothing at all: the temporary name is still there.
        Path(temporary).unlink(missing_ok=True)


def plan_hard(args: Args, before: str, context: Context) -> Plan:
    """Compare `path` with another name of the file `src`."""
    src = args.src
    if src is None:
        if before != "hard":
            raise ModuleError("src is required for creating new hardlinks")
        return _plan_same(args, {"dest": args.path, "src": None})
    if before == "directory":
        args = dataclasses.replace(args, path=str(Path(args.path) / Path(src).name))
        found = lstat(args.path)
        before = "absent" if found is None else kind_of(found)
    path = args.path
    values: JsonObject = {"dest": path, "src": src}
    if not Path(src).exists():
        raise ModuleError("src does not exist", **values)
    if before != "absent" and Path(path).exists() and Path(path).samefile(src):
        return _plan_same(args, values)
    if before == "hard" and not args.force:
        raise ModuleError("Cannot link, different hard link exists at destination", **values)
    if before == "file" and not args.force:
        raise ModuleError("Cannot link, file exists at destination", **values)
    if before == "directory":
        raise ModuleError("Cannot link because dest is a directory", **values)
    after: JsonObject = {"path": path} if before == "hard" else {"path": path, "state": "hard"}
    diff: JsonObject = {"before": {"path": path}, "after": after}
    if before != "hard":
        diff["before"]["state"] = before
    if before == "link":
        diff["before"]["src"], after["src"] = os.readlink(path), src  # noqa: PTH115
    return Change(values=values, diff=diff, apply=partial(_make_hard, args, src))


def _plan_same(args: Args, values: JsonObject) -> Plan:
    change = plan_attributes(args.path, args)
    diff = {"before": {"path": args.path, **change.before}, "after": {"path": args.path, **change.after}}
    if not change:
        return Unchanged(values=values, diff=diff)
    return Change(values=values, diff=diff, apply=change.apply)


def _make_hard(args: Args, src: str) -> None:
    try:
        _put(args.path, partial(os.link, src))
    except OSError as error:
        raise ModuleError(f"Error while linking: {error}", dest=args.path, src=src) from error
    plan_attributes(args.path, args).apply()
