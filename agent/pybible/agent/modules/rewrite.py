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


def _check(command: str, path: str) -> None:
    if "%s" not in command:
        raise ModuleError(f"validate must contain %s: {command}")
    rc, _, stderr, _ = validation(command, path)
    if rc:
        raise ModuleError(f"failed to validate: rc:{rc} error:{stderr}")
