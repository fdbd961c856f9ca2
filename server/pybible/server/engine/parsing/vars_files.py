"""vars_files: the files that hold the variables of one name: `name.yml`, or everything in the folder `name`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

EXTENSIONS: Final = (".yml", ".yaml", ".json")


def _in_folder(folder: Path, extensions: tuple[str, ...]) -> list[Path]:
    found: list[Path] = []
    for path in sorted(folder.iterdir(), key=lambda item: item.name):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if path.is_dir():
            if not path.suffix:
                found.extend(_in_folder(path, extensions))
        elif path.is_file() and (not path.suffix or path.suffix in extensions):
            found.append(path)
    return found


def find_vars_files(
    folder: Path, name: str, *, extensions: tuple[str, ...] = ("", *EXTENSIONS), allow_folder: bool = True
) -> list[Path]:
    """Return the files that hold `name`'s variables in `folder`: the first of the spellings that exists."""
    for extension in extensions:
        path = folder / f"{name}{extension}"
        if path.is_dir():
            if allow_folder:
                return _in_folder(path, extensions)
        elif path.exists():
            return [path]
    return []
