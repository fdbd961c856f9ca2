"""rewrite: puts new content into a text file, validated, atomically, with its attributes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from pybible.agent.modules.api import FileAttributes, ModuleError
from pybible.agent.modules.attributes import AttributeChange
from pybible.agent.modules.files import back_up, beside, replace, validation

ATTRIBUTES_CHANGED = "ownership, perms or SE linux context changed"


class Editing(Protocol):
    """The arguments that modules which edit text share."""

    @property
    def path(self) -> str:
        """The file."""
        ...

    @property
    def backup(self) -> bool:
        """Whether the old file is kept."""
        ...

    @property
    def validate(self) -> str | None:
        """The command that has to accept the new file."""
        ...


def rewrite(args: Editing, attributes: FileAttributes, data: bytes) -> tuple[str, AttributeChange]:
    """Write `data` through links; return the backup's name (or nothing), and what changed of the attributes."""
    backup = back_up(args.path) if args.backup else ""
    target = os.path.realpath(args.path)
    with beside(target) as temporary:
        Path(temporary).write_bytes(data)
        if args.validate:
            _check(args.validate, temporary)
        return backup, replace(temporary, target, attributes)


def write_text(path: str, text: str, *, mode: int | None = None) -> None:
    """Put `text` into a file, through links. `mode` is a new file's, without it what the umask leaves."""
    target = os.path.realpath(path)
    if not Path(target).parent.is_dir():
        raise ModuleError(f"Could not write {path}: {Path(target).parent} is not a directory", path=path)
    with beside(target) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "surrogateescape"))
        replace(temporary, target, FileAttributes(), mode=None if Path(target).exists() else mode)


def read_text(path: str) -> str:
    """Return a file's text, nothing when there is no file; what is not UTF-8 comes through `write_text` unchanged."""
    file = Path(path)
    return file.read_bytes().decode("utf-8", "surrogateescape") if file.exists() else ""


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, without their ends. Only a line feed ends one: what else may, is part of a line."""
    return text.removesuffix("\n").split("\n") if text else []


def _check(command: str, path: str) -> None:
    if "%s" not in command:
        raise ModuleError(f"validate must contain %s: {command}")
    rc, _, stderr, _ = validation(command, path)
    if rc:
        raise ModuleError(f"failed to validate: rc:{rc} error:{stderr}")
