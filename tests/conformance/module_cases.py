"""module_cases: one module call each, as data: the folder it starts from, the call, what is compared of its outcome."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tests.support import web_server

CASES = Path(__file__).parent / "modules"

# Both sides run with these.
ENVIRONMENT = {"HOME": "/root", "LC_ALL": "C.UTF-8"}

# In a case, this word stands for the folder that the case gets for itself.
_PLACE = "DIR"

_VOLATILE = frozenset(("atime", "mtime", "ctime", "inode", "dev", "start", "end", "delta", "block_size", "blocks"))
# What depends on the file system, and on the programs that are installed.
_LOCAL = frozenset(("attr_flags", "attributes", "version", "mimetype", "charset"))
_REWRITTEN = frozenset(("mode", "path", "state"))
_OF_THE_RUN = re.compile(r"_ssl\.c:\d+|\.ansible_m_\w+")
_BACKUP = re.compile(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A module call. `files`: what is there before, path -> text or {mode, text, dir, link, hard}.

    setup, cleanup: shell commands around it; probe: ones whose outputs are compared. Every case is called in check
    mode, which must foresee what comes and touch nothing, then for what it does, then again, which must change nothing;
    what of that is otherwise in the stock module says why: unforeseen, touches, repeats. apart: the parts of it
    that ours has otherwise on purpose, with reasons; unsteady: those that are not twice the same. own: which of these
    are the entry's, not the whole file's. volatile: keys of which the type alone is compared; ignored:
    ones that are not. server: a web server is there, its address stands for URL, one with TLS for TLS. whole: the
    folder is compared. environment: for both sides. collection: where the stock module is, with dots. needs, libraries:
    programs, and libraries of Python, without which the case can't run. machine: it changes the machine itself.
    action: a task of a playbook calls it.
    """

    name: str
    entry: str
    module: str
    args: Mapping[str, Any]
    files: Mapping[str, Any]
    check: bool
    diff: bool
    root: bool
    setup: Sequence[str] = ()
    probe: Sequence[str] = ()
    cleanup: Sequence[str] = ()
    unforeseen: str = ""
    touches: str = ""
    repeats: str = ""
    apart: Mapping[str, str] = field(default_factory=dict)
    unsteady: Mapping[str, str] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    volatile: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    patterns: Sequence[tuple[str, str]] = ()
    server: bool = False
    whole: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    collection: str = ""
    needs: Sequence[str] = ()
    libraries: Sequence[str] = ()
    machine: bool = False
    action: bool = False

    @property
    def qualified(self) -> str:
        """The module's name, with its collection when that is not ansible.builtin."""
        return f"{self.collection}.{self.module}" if self.collection else self.module

    def arguments(self, folder: Path) -> dict[str, Any]:
        """Return the arguments with the case's own folder in them."""
        placed: dict[str, Any] = json.loads(self.placed(json.dumps(self.args), folder))
        return placed

    def placed(self, text: str, folder: Path) -> str:
        """Return text with the case's own folder, and the server's addresses, in it."""
        for word, address in self.addresses.items():
            text = text.replace(word, address)
        return text.replace(_PLACE, str(folder))

    @property
    def addresses(self) -> Mapping[str, str]:
        """The words that stand for addresses."""
        return web_server.addresses() if self.server else {}

    def surroundings(self, folder: Path) -> dict[str, str]:
        """Return the environment of both sides: with the administrators' programs, whoever starts the tests."""
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
        return {
            "PATH": path,
            **ENVIRONMENT,
            **{name: self.placed(value, folder) for name, value in self.environment.items()},
        }

    def lacking(self) -> str:
        """Return the first program or library that the case needs and is not here; empty when all are."""
        path = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
        missing = [name for name in self.needs if shutil.which(name, path=path) is None]
        return next(iter([*missing, *(name for name in self.libraries if find_spec(name) is None)]), "")

    def run(self, commands: Sequence[str], folder: Path) -> list[str]:
        """Run shell commands in the folder; return what they print, with the exit status when it is not 0."""
        outputs = []
        for command in commands:
            done = subprocess.run(
                ["/bin/sh", "-c", self.placed(command, folder)],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                check=False, env={**os.environ, **self.surroundings(folder)}, timeout=60,
            )  # fmt: skip
            outputs.append(done.stdout + (f"[{done.returncode}]" if done.returncode else ""))
        return outputs


def load(name: str) -> list[Case]:
    """Return the cases of one file under `modules/`. One with `modes` is several: plain, with diff, in check mode."""
    document = yaml.safe_load((CASES / f"{name}.yml").read_text(encoding="utf-8"))
    return [case for entry in document["cases"] for case in _cases(document, entry)]


def _cases(document: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[Case]:
    for mode in entry.get("modes", ["plain"]):
        yield Case(
            name=entry["name"] if mode == "plain" else f"{entry['name']} ({mode})",
            entry=entry["name"],
            module=document["module"],
            args=entry["args"],
            files=document.get("files", {}) | entry.get("files", {}),
            check="check" in mode,
            diff="diff" in mode,
            root=bool(entry.get("root")),
            setup=[*document.get("setup", []), *entry.get("setup", [])],
            probe=[*document.get("probe", []), *entry.get("probe", [])],
            cleanup=[*entry.get("cleanup", []), *document.get("cleanup", [])],
            unforeseen=entry.get("unforeseen", document.get("unforeseen", "")),
            touches=entry.get("touches", document.get("touches", "")),
            apart=document.get("apart", {}) | entry.get("apart", {}),
            unsteady=document.get("unsteady", {}) | entry.get("unsteady", {}),
            own=frozenset(entry),
            repeats=entry.get("repeats", document.get("repeats", "")),
            volatile=frozenset(document.get("volatile", ())),
            ignored=frozenset(document.get("ignored", ())),
            patterns=[tuple(pair) for pair in document.get("patterns", ())],
            server=bool(document.get("server")),
            whole=bool(document.get("whole", True)),
            environment=document.get("environment", {}) | entry.get("environment", {}),
            collection=document.get("collection", ""),
            libraries=document.get("libraries", []),
            needs=[*document.get("needs", []), *entry.get("needs", [])],
            action=bool(document.get("action")),
            machine=bool(document.get("machine") or entry.get("machine")),
        )


def names() -> list[str]:
    """Return the names of all case files."""
    return sorted(path.stem for path in CASES.glob("*.yml"))


def build(case: Case, folder: Path) -> None:
    """Make what the case starts from, in an empty folder. Its files are old, so that what a module touches shows."""
    folder.mkdir(parents=True, exist_ok=True)
    # Whoever is in the folder stays there.
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
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


def outcome(case: Case, folder: Path, call: Callable[[dict[str, Any], bool], dict[str, Any]]) -> dict[str, Any]:
    """Return all that is compared of a case.

    It is set up, and called in check mode: `check` is what that answers, `touched` what is another afterwards. Then it
    is called: `result`, and a second time: `again`. Whatever comes, it is cleaned up.
    """
    found: dict[str, Any] = {}
    try:
        case.run(case.setup, folder)
        before = _state(case, folder)
        found["check"] = shown(case, call(case.arguments(folder), True), folder)
        after = _state(case, folder)
        found["touched"] = sorted(
            _plain(case, item, folder) for item in before.keys() | after.keys() if before.get(item) != after.get(item)
        )
        if "touched" in case.apart:
            # What the stock module did in check mode is undone for what follows.
            case.run(case.cleanup, folder)
            build(case, folder)
            case.run(case.setup, folder)
        if not case.check:
            found["result"] = shown(case, call(case.arguments(folder), False), folder)
            found["again"] = shown(case, call(case.arguments(folder), False), folder)
        if case.probe:
            found["probe"] = [_plain(case, text, folder) for text in case.run(case.probe, folder)]
        if case.whole:
            found["tree"] = {
                _plain(case, name, folder): _plain(case, text, folder) for name, text in tree(folder).items()
            }
    finally:
        case.run(case.cleanup, folder)
    return found


def _state(case: Case, folder: Path) -> dict[str, object]:
    """Return what check mode must leave as it is: the folder's entries, and what the probes print."""
    state: dict[str, object] = dict(zip(case.probe, case.run(case.probe, folder), strict=True))
    for path in folder.rglob("*"):
        if path.parts[-2:] == (".git", "index"):
            # git freshens it whenever it looks, if a second has passed.
            continue
        found = path.lstat()
        content = () if stat.S_ISDIR(found.st_mode) else (found.st_ino, found.st_mtime_ns, found.st_size)
        state[str(path.relative_to(folder))] = (found.st_mode, found.st_uid, found.st_gid, *content)
    return state


def shown(case: Case, result: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what is compared of a result, the case's own exceptions made."""
    if "crashed" in result:
        return {"failed": True, "crashed": _plain(case, str(result["crashed"]), folder)}
    kept: dict[str, Any] = _without(case, comparable(result, folder), folder)
    return kept


def _without(case: Case, value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {
            _plain(case, key, folder): f"<{type(item).__name__}>"
            if key in case.volatile
            else _without(case, item, folder)
            for key, item in value.items()
            if key not in case.ignored
        }
    if isinstance(value, list):
        return [_without(case, item, folder) for item in value]
    return _plain(case, value, folder) if isinstance(value, str) else value


def _plain(case: Case, text: str, folder: Path) -> str:
    for word, address in case.addresses.items():
        text = text.replace(address, word)
    text = _OF_THE_RUN.sub("", text.replace(str(folder), _PLACE))
    for pattern, replacement in case.patterns:
        text = re.sub(pattern, replacement, text)
    return text
