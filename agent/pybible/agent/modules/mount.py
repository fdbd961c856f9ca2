"""mount: mounts and unmounts file systems, and keeps the table of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pybible.agent.modules.api import Change, Context, Module, ModuleError, PathText, Plan, Unchanged, arg
from pybible.agent.modules.files import back_up
from pybible.agent.modules.fstab import Entry, comes_from, current_mounts, escaped, mount_at, put, remove
from pybible.agent.modules.programs import Answer, call, need
from pybible.agent.modules.rewrite import read_text, write_text
from pybible.agent.modules.spec import HIDDEN
from pybible.wire.values import JsonObject

_TABLE = "/etc/fstab"
_OPTIONS_REFUSED = (
    "Options were specified with remounted, but the remount command failed. Failing in order to prevent an unexpected "
    'mount result. Try replacing this command with a "state: unmounted" followed by a "state: mounted" using the full '
    "desired mount options instead."
)
_ANOTHER_SOURCE = (
    "Ephemeral mount point is already mounted with a different source than the specified one. Failing in order to "
    'prevent an unwanted unmount or override operation. Try replacing this command with a "state: unmounted" followed '
    'by a "state: ephemeral", or use a different destination path.'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of mount."""

    path: PathText = arg(aliases=("name",), doc="where it is mounted")
    src: PathText | None = arg(default=None, doc="what is mounted: a device, `LABEL=`, a server's share, a folder, ...")
    fstype: str | None = arg(default=None, doc="kind of the file system")
    opts: str | None = arg(default=None, doc="options, with commas between them")
    opts_no_log: bool = arg(default=False, doc="don't show the options anywhere")
    dump: str = arg(default="0", doc="fifth field of the table")
    passno: str = arg(default="0", doc="sixth field of the table")
    boot: bool = arg(default=True, doc="`false` adds noauto to the options in the table")
    backup: bool = arg(default=False, doc="keep the old table under another name")
    fstab: str | None = arg(default=None, doc="the table, `/etc/fstab` unless said otherwise")
    state: Literal["absent", "absent_from_fstab", "mounted", "present", "unmounted", "remounted", "ephemeral"] = arg(
        doc="in the table and mounted, either, or neither"
    )

    @property
    def table(self) -> str:
        """Where the table is."""
        return self.fstab or _TABLE

    @property
    def options(self) -> str:
        """The options, those that go without saying included."""
        options = self.opts if self.opts is not None else "defaults"
        return options if self.boot or self.state == "ephemeral" else f"{options},noauto"


def plan(args: Args, context: Context) -> Plan:
    """Compare the table, and what is mounted, with what is asked."""
    values = _values(args)
    if args.state == "remounted":
        return Change(values=values, apply=partial(_remounted, args, context))
    if args.state == "ephemeral":
        return _ephemeral(args, values, context)
    if args.state == "unmounted":
        if not _is_mounted(args.path):
            return Unchanged(values=values)
        return Change(values=values, apply=partial(_unmount, args, context))
    before = read_text(args.table)
    source = None if args.src is None else escaped(args.src)
    if args.state in ("present", "mounted"):
        after = put(before, _entry(args))
        mounted = args.state == "present" or _is_mounted(args.path, args.src)
    else:
        after = remove(before, escaped(args.path), source)
        mounted = True
    if after == before and mounted:
        return Unchanged(values=values)
    steps: dict[str, Callable[[], None]] = {
        "absent": partial(_clear, args, context),
        "mounted": partial(_mounted, args, context, before, mounted=mounted),
    }
    return Change(values=values, apply=partial(_apply, args, before, after, steps.get(args.state)))


def _values(args: Args) -> JsonObject:
    shown = HIDDEN if args.opts_no_log and args.opts is not None else args.options
    values: JsonObject = {"name": args.path, "opts": shown, "dump": args.dump, "passno": args.passno}
    values |= {"fstab": args.table, "boot": "yes" if args.boot else "no", "backup_file": ""}
    return values | {name: getattr(args, name) for name in ("src", "fstype") if getattr(args, name) is not None}


def _entry(args: Args) -> Entry:
    return Entry(
        source=escaped(str(args.src)),
        path=escaped(args.path),
        kind=escaped(str(args.fstype)),
        options=escaped(args.options),
        dump=args.dump,
        order=args.passno,
    )


def _is_mounted(path: str, source: str | None = None) -> bool:
    if os.path.ismount(path):  # noqa: PTH
        return True
    mounts = current_mounts()
    found = mount_at(path, mounts)
    return found is not None and (source is None or comes_from(found, source, mounts))


def _apply(args: Args, before: str, after: str, step: Callable[[], None] | None) -> JsonObject:
    backup = ""
    made = [] if args.state != "mounted" else _make_folders(args.path)
    if after != before:
        backup = back_up(args.table) if args.backup else ""
        Path(args.table).parent.mkdir(parents=True, exist_ok=True)
        write_text(args.table, after)
    try:
        if step is not None:
            step()
    except ModuleError:
        _take_back(made)
        raise
    return {"backup_file": backup}


def _make_folders(path: str) -> list[Path]:
    """Make the folders down to `path`; return those that were not there."""
    made = []
    for folder in (*reversed(Path(path).parents), Path(path)):
        if not folder.exists():
            folder.mkdir()
            made.append(folder)
    return made


def _take_back(folders: list[Path]) -> None:
    for folder in reversed(folders):
        folder.rmdir()


def _words(args: Args, context: Context, *options: str) -> list[str]:
    words = [need("mount", context), *options]
    if args.state == "ephemeral":
        return [*words, "-t", str(args.fstype), "-o", args.options, str(args.src), args.path]
    return [*words, *([] if args.table == _TABLE else ["-T", args.table]), args.path]


def _clear(args: Args, context: Context) -> None:
    if _is_mounted(args.path):
        _unmount(args, context)
    if Path(args.path).exists():
        try:
            Path(args.path).rmdir()
        except OSError as error:
            raise ModuleError(f"Error rmdir {args.path}: {error}") from error


def _unmount(args: Args, context: Context) -> None:
    done = call([need("umount", context), args.path], context)
    if done.rc:
        raise ModuleError(f"Error unmounting {args.path}: {done.stdout}{done.stderr}")


def _mounted(args: Args, context: Context, before: str, *, mounted: bool) -> None:
    done = _remount(args, context) if mounted else call(_words(args, context), context)
    if done.rc:
        # A table that can't be mounted may keep the host from starting: it is as it was.
        write_text(args.table, before)
        raise ModuleError(f"Error mounting {args.path}: {done.stdout}{done.stderr}")


def _remounted(args: Args, context: Context) -> None:
    done = _remount(args, context)
    if done.rc:
        raise ModuleError(f"Error remounting {args.path}: {done.stdout}{done.stderr}")


def _remount(args: Args, context: Context) -> Answer:
    given = args.state == "remounted" and args.options != "defaults"
    done = call(_words(args, context, "-o", f"remount,{args.options}" if given else "remount"), context)
    if not done.rc:
        return done
    if given:
        raise ModuleError(_OPTIONS_REFUSED)
    done = call([need("umount", context), args.path], context)
    return done if done.rc else call(_words(args, context), context)


def _ephemeral(args: Args, values: JsonObject, context: Context) -> Plan:
    mounts = current_mounts()
    found = mount_at(args.path, mounts)
    if found is not None and not comes_from(found, str(args.src), mounts):
        raise ModuleError(_ANOTHER_SOURCE)
    return Change(values=values, apply=partial(_mount_here, args, context, again=found is not None))


def _mount_here(args: Args, context: Context, *, again: bool) -> None:
    made = _make_folders(args.path)
    done = _remount(args, context) if again else call(_words(args, context), context)
    if done.rc:
        _take_back(made)
        raise ModuleError(f"Error mounting {args.path}: {done.stdout}{done.stderr}")


MODULE = Module(
    name="ansible.posix.mount",
    args=Args,
    plan=plan,
    required_if=tuple(("state", state, ("src", "fstype")) for state in ("mounted", "present", "ephemeral")),
    hidden_if=(("opts_no_log", "opts"),),
)
