"""archive: packs files and folders of the host into an archive, or compresses one file."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pybible.agent.modules import archive_files
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
from pybible.agent.modules.archive_files import Entry, Format
from pybible.agent.modules.attributes import plan_attributes
from pybible.agent.modules.files import beside, replace
from pybible.wire.values import JsonObject

_ARCHIVE = re.compile(r"\.(tar|tar\.(gz|bz2|xz)|tgz|tbz2|zip)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(FileAttributes):
    """Arguments of archive."""

    path: list[PathText] = arg(doc="what is packed: paths and patterns")
    format: Format = arg(default="gz", doc="how it is packed; one file alone is compressed by bz2, gz and xz")
    dest: PathText | None = arg(default=None, doc="the archive; needed for more than one file")
    exclude_path: list[PathText] = arg(default_factory=list, doc="paths and patterns that are left out of path")
    exclusion_patterns: list[str] | None = arg(default=None, doc="patterns of what is left out, wherever it lies")
    force_archive: bool = arg(default=False, doc="an archive even of one file")
    remove: bool = arg(default=False, doc="remove what was packed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is to be packed, and whether into an archive."""

    expanded: list[str]
    excluded: list[str]
    paths: list[str]
    missing: list[str]
    root: str
    archives: bool
    dest: str


def plan(args: Args, context: Context) -> Plan:
    """Compare what is packed with what is there."""
    source = _source(args)
    values: JsonObject = {
        "dest": source.dest, "arcroot": source.root, "missing": source.missing, "archived": [],
        "expanded_paths": source.expanded, "expanded_exclude_paths": source.excluded,
        "dest_state": _state(source),
    }  # fmt: skip
    there = [path for path in source.paths if path not in source.missing]
    if not there:
        return _unchanged(args, values)
    if Path(source.dest).is_dir():
        raise ModuleError(f"Error, dest is a directory: {source.dest}", path=", ".join(args.path))
    if not Path(source.dest).absolute().parent.is_dir():
        raise ModuleError(f"Error, the folder of dest does not exist: {source.dest}", path=", ".join(args.path))
    entries = _entries(args, source, there)
    if source.archives:
        same = archive_files.same_entries(source.dest, entries, args.format)
        shown = [str(entry.path) for entry in entries if args.format != "zip" or not entry.is_folder]
    else:
        same = archive_files.same_content(source.dest, Path(there[0]), args.format)
        shown = [there[0]]
    done: JsonObject = {"archived": shown, "dest_state": _state(source, made=True)}
    if same and not args.remove:
        return _unchanged(args, values | done)
    return Change(values=values, apply=partial(_pack, args, source, entries, there, done))


def _unchanged(args: Args, values: JsonObject) -> Plan:
    change = plan_attributes(str(values["dest"]), args) if Path(str(values["dest"])).exists() else None
    return Change(values=values, apply=change.apply) if change else Unchanged(values=values)


def _source(args: Args) -> Source:
    expanded = _expand(args.path)
    excluded = _expand(args.exclude_path)
    shown = ", ".join(args.path)
    paths = [path for path in expanded if path not in excluded]
    if not paths:
        raise ModuleError(
            "Error, no source paths were found",
            path=shown,
            expanded_paths=", ".join(expanded),
            expanded_exclude_paths=", ".join(excluded),
        )
    several = len(args.path) > 1 or any(glob.has_magic(path) for path in args.path) or Path(paths[0]).is_dir()
    must = several or args.force_archive
    if args.dest is None and must:
        msg = 'Error, must specify "dest" when archiving multiple files or trees'
        raise ModuleError(msg, path=shown, dest="None")
    dest = args.dest or f"{paths[0]}.{args.format}"
    if args.remove and any(Path(dest).absolute().is_relative_to(Path(path).absolute()) for path in paths):
        msg = "Error, created archive can not be contained in source paths when remove=true"
        raise ModuleError(msg, path=shown)
    return Source(
        expanded=expanded,
        excluded=excluded,
        paths=paths,
        missing=[path for path in paths if not os.path.lexists(path)],
        root=_root(paths),
        archives=must or args.format in ("tar", "zip"),
        dest=dest,
    )


def _expand(paths: list[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        found += sorted(glob.glob(path)) if glob.has_magic(path) else [path]  # noqa: PTH207  Path would tidy the rest
    return found


def _root(paths: list[str]) -> str:
    """Return the folder below which names in the archive begin, with its slash."""
    folders = [f"{os.path.dirname(path)}/".replace("//", "/") for path in paths]  # noqa: PTH120  "a/" is inside a
    if len({folder.startswith("/") for folder in folders}) > 1:
        return ""
    common = os.path.commonpath(folders)
    return f"{common}/" if common not in ("", "/") else common


def _state(source: Source, *, made: bool = False) -> str:
    if made:
        return "compress" if not source.archives else "incomplete" if source.missing else "archive"
    if not Path(source.dest).exists():
        return "absent"
    return "archive" if _ARCHIVE.search(source.dest) else "compress"


def _entries(args: Args, source: Source, paths: list[str]) -> list[Entry]:
    own = Path(source.dest).absolute()
    return [
        entry
        for path in paths
        for entry in archive_files.entries_below(Path(path), source.root)
        if entry.path.absolute() != own
        and not any(fnmatch.fnmatch(entry.name, pattern) for pattern in args.exclusion_patterns or ())
    ]


def _pack(args: Args, source: Source, entries: list[Entry], paths: list[str], done: JsonObject) -> JsonObject:
    try:
        with beside(source.dest) as temporary:
            if source.archives:
                archive_files.write(temporary, entries, args.format)
            else:
                archive_files.compress(temporary, Path(paths[0]), args.format)
            replace(temporary, source.dest, args)
    except OSError as error:
        raise ModuleError(f"Error, can not write {source.dest}: {error}", path=", ".join(args.path)) from error
    if args.remove:
        for path in map(Path, paths):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    return done


MODULE = Module(name="archive", args=Args, plan=plan)
