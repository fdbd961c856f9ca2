"""paths: filters about file names, those of the control node."""

from __future__ import annotations

import glob
import ntpath
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pybible.server.engine.templating.plugins import Plugin, impure


def _path_join(paths: object) -> str:
    if isinstance(paths, str):
        return paths
    if isinstance(paths, Sequence):
        return os.path.join(*[str(path) for path in paths])  # noqa: PTH118 - keeps what is written, ./ too
    raise TypeError(f"|path_join expects string or sequence, got {type(paths)} instead.")


def _relpath(path: object, start: str = os.curdir) -> str:
    return os.path.relpath(str(path), start)


def _commonpath(paths: object) -> str:
    if isinstance(paths, str) or not isinstance(paths, Sequence):
        raise TypeError("|commonpath expects sequence, got " + repr(type(paths)))
    return os.path.commonpath([str(path) for path in paths])


def _fileglob(pattern: object) -> list[str]:
    return [path for path in glob.glob(str(pattern)) if Path(path).is_file()]  # noqa: PTH207 - the pattern is whole


FILTERS: Mapping[str, Plugin] = {
    "basename": lambda path: os.path.basename(str(path)),  # noqa: PTH119 - "a/" has an empty one
    "dirname": lambda path: os.path.dirname(str(path)),  # noqa: PTH120
    "expanduser": lambda path: os.path.expanduser(str(path)),  # noqa: PTH111
    "expandvars": lambda path: os.path.expandvars(str(path)),
    "realpath": lambda path: os.path.realpath(str(path)),
    "normpath": lambda path: os.path.normpath(str(path)),
    "relpath": _relpath,
    "path_join": _path_join,
    "commonpath": _commonpath,
    "splitext": lambda path: list(os.path.splitext(str(path))),  # noqa: PTH122
    "fileglob": impure(_fileglob),
    "win_basename": lambda path: ntpath.basename(str(path)),
    "win_dirname": lambda path: ntpath.dirname(str(path)),
    "win_splitdrive": lambda path: list(ntpath.splitdrive(str(path))),
}
