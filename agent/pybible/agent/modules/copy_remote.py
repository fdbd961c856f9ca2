"""copy_remote: copies a file or folder from one place on the host to another."""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.modules.api import Change, Context, ModuleError, Plan, Unchanged
from pybible.agent.modules.attributes import plan_attributes
from pybible.agent.modules.digests import of_file
from pybible.agent.modules.files import back_up, beside, check_valid, lstat, replace
from pybible.wire.values import JsonObject

if TYPE_CHECKING:
    from pybible.agent.modules.copy import Args, Source


def plan_remote(args: Args, context: Context) -> Plan:
    """Compare `src` on the host with `dest`."""
    src = args.src
    if src is None:
        raise ModuleError("Unable to copy file: src is required")
    source = Path(src)
    if not source.exists():
        raise ModuleError(f"Source {src} not found")
    if not os.access(source, os.R_OK):
        raise ModuleError(f"Source {src} not readable")
    if args.mode == "preserve":
        args = dataclasses.replace(args, mode=f"0{stat.S_IMODE(source.stat().st_mode):03o}")
    if source.is_dir():
        return _plan_tree(args, src)
    return _plan_file(args, src, context)


def _plan_file(args: Args, src: str, context: Context) -> Plan:
    from pybible.agent.modules.copy import Source, check_sum, destination, same_content

    sha1, md5 = of_file(src, "sha1", "md5")
    source = Source(path=src, sha1=sha1, md5=md5)
    check_sum(args, source)
    if args.dest.endswith("/") and not Path(args.dest).exists() and context.check:
        message = f"dest directory {args.dest.rstrip('/')} would be created"
        return Change(values={"msg": message, "src": src}, apply=partial(_nothing))
    dest = destination(args)
    found = lstat(dest)
    if found is not None and not args.force:
        return Unchanged(values={"msg": "file already exists", "src": src, "dest": dest})
    if found is None and not Path(dest).parent.is_dir() and not args.dest.endswith("/"):
        raise ModuleError(f"Destination directory {Path(dest).parent} does not exist")
    values: JsonObject = {"dest": dest, "src": src, "md5sum": md5, "checksum": sha1}
    if found is None or not stat.S_ISREG(found.st_mode) or not same_content(dest, found, source):
        return Change(values=values, apply=partial(_put, args, dest, source))
    change = plan_attributes(dest, args)
    if not change:
        return Unchanged(values=values)
    return Change(values=values, apply=change.apply)


def _nothing() -> None:
    return None


def _put(args: Args, dest: str, source: Source) -> JsonObject:
    from pybible.agent.modules.copy import make_parents

    make_parents(args, dest)
    if args.validate is not None:
        check_valid(args.validate, source.path)
    result: JsonObject = {}
    found = lstat(dest)
    if args.backup and found is not None and (backup := back_up(dest)):
        result["backup_file"] = backup
    # As with the stock module: what is replaced takes the permissions of the source, a new file those of the umask.
    mode = None if found is None else stat.S_IMODE(Path(source.path).stat().st_mode)
    with beside(dest) as temporary:
        shutil.copyfile(source.path, temporary)
        times = Path(source.path).stat()
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
        with contextlib.suppress(OSError):
            for name in os.listxattr(source.path):
                os.setxattr(temporary, name, os.getxattr(source.path, name))
        replace(temporary, dest, args, mode=mode)
    return result


def _plan_tree(args: Args, src: str) -> Plan:
    dest = args.dest
    new = not Path(dest).exists()
    if not new and not Path(dest).is_dir():
        raise ModuleError(f"Could not replace '{dest}' with '{src}': it is not a directory")
    name = "" if src.endswith("/") else Path(src).name
    target = os.path.join(dest, name)  # noqa: PTH118  a trailing slash is kept
    shown = dest if new else target
    steps = list(_differences(Path(src), Path(target), links=args.local_follow is False or args.local_follow is None))
    attributes = plan_attributes(shown, args) if Path(shown).exists() else None
    values: JsonObject = {"dest": shown, "src": src, "md5sum": None, "checksum": None}
    if not steps and not attributes:
        return Unchanged(values=values)
    return Change(values=values, apply=partial(_copy_tree, args, steps, shown))


def _copy_tree(args: Args, steps: list[Callable[[], object]], shown: str) -> None:
    for step in steps:
        step()
    plan_attributes(shown, args).apply()


def _differences(source: Path, target: Path, *, links: bool) -> Iterator[Callable[[], object]]:
    if not target.exists():
        yield partial(_new_tree, source, target, links)
        return
    for item in sorted(source.iterdir()):
        there = target / item.name
        if item.is_symlink() and links:
            if not there.is_symlink() or there.readlink() != item.readlink():
                yield partial(_copy_link, item, there)
        elif item.is_dir():
            yield from _differences(item, there, links=links)
        elif not there.exists() or not filecmp.cmp(item, there, shallow=False):
            yield partial(_copy_file, item, there)


def _new_tree(source: Path, target: Path, links: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, symlinks=links)
    for path in (target, *target.rglob("*")):
        found = (source / path.relative_to(target)).lstat()
        with contextlib.suppress(PermissionError):
            os.lchown(path, found.st_uid, found.st_gid)


def _copy_link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    target.symlink_to(source.readlink())


def _copy_file(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    shutil.copymode(source, target)
    found = source.stat()
    with contextlib.suppress(PermissionError):
        os.chown(target, found.st_uid, found.st_gid)
