"""transcripts: calls of package managers as they were recorded, played back by programs that stand in for them.

A transcript is JSON: `of` says where it is from, `cases` are one call of a module each: its arguments, the result that
is expected, and `commands`, the programs' calls in order: argv, rc, stdout, stderr, and stdin where something was sent.
`PLACE` in arguments and commands stands for the case's own folder, in which `files` (path -> text) are before.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "unit" / "modules" / "transcripts"
PLACE = "PLACE"

# Takes the next recorded call of the queue; what it was not meant to be called with ends with status 99.
_PLAYER = """
import json, pathlib, sys
place = pathlib.Path({place!r})
calls = json.loads((place / "queue.json").read_text())
argv = [{name!r}, *sys.argv[1:]]
log = place / "asked.json"
asked = json.loads(log.read_text()) if log.exists() else []
expected = calls[len(asked)] if len(asked) < len(calls) else {{}}
stdin = sys.stdin.read() if "stdin" in expected else None
log.write_text(json.dumps([*asked, argv if stdin is None else [*argv, "<", stdin]]))
if expected.get("argv") != argv:
    sys.exit(99)
sys.stdout.write(expected.get("stdout", ""))
sys.stderr.write(expected.get("stderr", ""))
sys.exit(expected.get("rc", 0))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call of a module, and what the programs were asked and said."""

    name: str
    module: str
    args: Mapping[str, Any]
    commands: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any]
    check: bool = False
    diff: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    programs: Sequence[str] = ()


def load(name: str) -> list[Case]:
    """Return the cases of one transcript."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    programs = document.get("programs", [])
    return [Case(**{"module": document["module"], "programs": programs, **case}) for case in document["cases"]]


def source(name: str, module: str) -> list[str]:
    """Return what a transcript is from, nothing when it is another module's."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return [", ".join(str(document["of"]).splitlines())] if document["module"] == module else []


def names() -> list[str]:
    """Return the names of all transcripts."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def placed(value: Any, place: Path) -> Any:
    """Return a JSON value with the case's own folder in it."""
    return json.loads(json.dumps(value).replace(PLACE, str(place)))


def without_place(value: Any, place: Path) -> Any:
    """Return a JSON value without the case's own folder."""
    return json.loads(json.dumps(value).replace(str(place), PLACE))


def stand_in(case: Case, place: Path) -> Path:
    """Make the programs that play the case, and its files; return the folder for PATH."""
    folder = place / "bin"
    folder.mkdir(parents=True)
    for path, text in case.files.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_text(text, encoding="utf-8")
    (place / "queue.json").write_text(json.dumps(placed(case.commands, place)), encoding="utf-8")
    for name in {*case.programs, *(str(command["argv"][0]) for command in case.commands)}:
        program = folder / name
        code = _PLAYER.format(place=str(place), name=name)
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
        program.chmod(0o755)
    return folder


def asked(place: Path) -> list[list[str]]:
    """Return how the programs were called."""
    log = place / "asked.json"
    found: list[list[str]] = json.loads(log.read_text(encoding="utf-8")) if log.exists() else []
    return found


def expected(case: Case, place: Path) -> list[list[str]]:
    """Return how the programs were to be called."""
    calls = placed(case.commands, place)
    return [[*call["argv"], *(["<", call["stdin"]] if "stdin" in call else [])] for call in calls]
