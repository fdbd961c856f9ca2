"""module_cases: one module call each, as data: the folder it starts from, the call, what is compared of its outcome."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CASES = Path(__file__).parent / "modules"

# Both sides run with these.
ENVIRONMENT = {"HOME": "/root", "LC_ALL": "C.UTF-8"}

# In a case, this word stands for the folder that the case gets for itself.
_PLACE = "DIR"

_VOLATILE = frozenset(("atime", "mtime", "ctime", "inode", "dev", "start", "end", "delta", "block_size", "blocks"))
# What depends on the file system, and on the programs that are installed.
_LOCAL = frozenset(("attr_flags", "attributes", "version", "mimetype", "charset"))
_REWRITTEN = frozenset(("mode", "path", "state"))
_BACKUP = re.compile(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A module call. `files`: what is there before, path -> text or {mode, text, dir, link, hard}."""

    name: str
    module: str
    args: Mapping[str, Any]
    files: Mapping[str, Any]
    check: bool
    diff: bool
    root: bool

    def arguments(self, folder: Path) -> dict[str, Any]:
        """Return the arguments with the case's own folder in them."""
        placed: dict[str, Any] = json.loads(json.dumps(self.args).replace(_PLACE, str(folder)))
        return placed


def load(name: str) -> list[Case]:
    """Return the cases of one file under `modules/`. One with `modes` is several: plain, with diff, in check mode."""
    document = yaml.safe_load((CASES / f"{name}.yml").read_text(encoding="utf-8"))
    return [case for entry in document["cases"] for case in _cases(document, entry)]


def _cases(document: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[Case]:
    for mode in entry.get("modes", ["plain"]):
        yield Case(
            name=entry["name"] if mode == "plain" else f"{entry['name']} ({mode})",
            module=document["module"],
            args=entry["args"],
            files=document.get("files", {}) | entry.get("files", {}),
            check="check" in mode,
            diff="diff" in mode,
            root=bool(entry.get("root")),
        )


def names() -> list[str]:
    """Return the names of all case files."""
    return sorted(path.stem for path in CASES.glob("*.yml"))


def build(case: Case, folder: Path) -> None:
    """Make what the case starts from, in an empty folder. Its files are old, so that what a module touches shows."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in case.files.items():
        _make(folder, name, {"text": content} if isinstance(content, str) else dict(content))
    for path in sorted(folder.rglob("*"), reverse=True):
        if not path.is_symlink():
            os.utime(path, (1_000_000_000, 1_000_000_000))


def _make(folder: Path, name: str, content: dict[str, Any]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if "link" in content:
        path.symlink_to(str(content["link"]).replace(_PLACE, str(folder)))
    elif "hard" in content:
        path.hardlink_to(folder / content["hard"])
    else:
        if content.get("dir"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(str(content.get("text", "")).encode("utf-8", "surrogateescape"))
        path.chmod(int(str(content.get("mode", "0755" if content.get("dir") else "0644")), 8))


def tree(folder: Path) -> dict[str, str]:
    """Return what lies in the folder afterwards: kind, mode, whether it was touched, and text or target."""
    return {_BACKUP.sub(".BACKUP", str(path.relative_to(folder))): _shown(path) for path in sorted(folder.rglob("*"))}


def _shown(path: Path) -> str:
    found = path.lstat()
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    if stat.S_ISLNK(found.st_mode):
        return f"link to {path.readlink()}".replace(str(path.parent), ".")
    touched = "" if found.st_mtime == 1_000_000_000 else " touched"
    if stat.S_ISDIR(found.st_mode):
        return f"directory {mode}"
    return f"file {mode}{touched} {path.read_bytes().decode('utf-8', 'surrogateescape')!r}"


def normalised(value: Any, folder: Path) -> Any:
    """Return a result without what differs from run to run."""
    if isinstance(value, dict):
        if value.get("state") in ("link", "directory") and "size" in value:
            value = value | {"size": "<int>"}
        return {
            str(normalised(key, folder)): f"<{type(item).__name__}>" if key in _VOLATILE else normalised(item, folder)
            for key, item in sorted(value.items())
            if key not in ("exception", "invocation", "_ansible_cause", "warnings")
        }
    if isinstance(value, list):
        return [normalised(item, folder) for item in value]
    if isinstance(value, str):
        return _BACKUP.sub(".BACKUP", value.replace(str(folder), _PLACE))
    return value


def comparable(result: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what is compared of a result: all keys, `changed` and the arguments that were understood included."""
    shown: dict[str, Any] = {"changed": False, **result}
    kept: dict[str, Any] = normalised(shown, folder)
    arguments = result.get("invocation", {}).get("module_args", {})
    # The stock modules write into their own arguments: what they made of these is not compared.
    kept["module_args"] = normalised({k: v for k, v in arguments.items() if k not in _REWRITTEN}, folder)
    kept["warnings"] = normalised([_warning(item) for item in result.get("warnings", ())], folder)
    if isinstance(kept.get("stat"), dict):
        kept["stat"] |= dict.fromkeys(_LOCAL & set(kept["stat"]), "<local>")
    return json.loads(json.dumps(kept))  # type: ignore[no-any-return]


def _warning(item: Any) -> str:
    return str(item["event"]["msg"]) if isinstance(item, dict) else str(item)
