"""real_material: give playbooks that nobody here wrote to ansible-playbook and to pybible, and compare the answers.

`python -m tests.conformance.real_material --venv ENVIRONMENT [--cache FOLDER] [PACKAGE ...]`. The environment is one
with PyPI's `ansible`; a PACKAGE is a folder with the files of a package that ships roles or playbooks; the collections
of the environment are always among them. Playbooks are checked and listed, roles and task files imported into a
playbook and their tasks listed; no task is run. An answer is the same when both accept the file and print the same,
or both refuse it with the same exit status. Ends with status 1 when answers differ.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.material import KINDS, PLAYBOOK, Item, Material, read_material
from tests.conformance.warm_commands import WarmCommand, surroundings

_MODES = ("--syntax-check", "--list-hosts", "--list-tasks", "--list-tags")
_SHOWN_LINES = 30
# What ansible-playbook prints as it comes out of a set: the hosts of a play, and its tags where it is imported.
_HOSTS = re.compile(r"(?<=hosts \()(\d+\):\n)((?: {6}\S+\n?)+)")
_TAGS = re.compile(r"(?<=\tTAGS: \[)[^ \]]+(?=\]$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended. Of standard error only the first error counts, and only to be shown."""

    status: int
    out: str
    err: str

    def same(self, other: Answer) -> bool:
        """Whether both accept the file and print the same, or both refuse it."""
        return self.status == other.status and (self.status != 0 or self.listed == other.listed)

    @property
    def listed(self) -> str:
        """What was printed, with what comes out of a set in order."""
        text = _HOSTS.sub(lambda found: found[1] + "".join(sorted(found[2].splitlines(keepends=True))), self.out + "\n")
        return _TAGS.sub(lambda found: ",".join(sorted(found[0].split(","))), text)

    @property
    def error(self) -> str:
        """The first line that says what is wrong."""
        lines = [line for line in self.err.splitlines() if line.startswith(("[ERROR]", "ERROR"))]
        return (lines or self.err.splitlines() or [""])[0]


class Command:
    """One of the two commands, waiting for arguments. before: those that come first."""

    def __init__(self, warm: WarmCommand, work: Path, before: Sequence[str]) -> None:
        self._warm = warm
        self._work = str(work)
        self._before = before

    def ask(self, arguments: Sequence[str]) -> Answer:
        """Run it once."""
        status, out, err = self._warm.call([*self._before, *arguments])
        # The folder is another each time.
        return Answer(status, out.replace(self._work, "WORK"), err.replace(self._work, "WORK"))


@contextmanager
def started(command: Sequence[str], python: str, environment: Mapping[str, str], work: Path) -> Iterator[Command]:
    """Start ansible-playbook or pybible-ctl, with the interpreter that has it."""
    around = {**surroundings(work), **environment}
    with WarmCommand(command[0], python, directory=work, environment=around) as warm:
        yield Command(warm, work, command[1:])


class Cache:
    """ansible-playbook's answers of earlier times: they hold as long as the files and the environment are the same."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def ask(self, command: Command, arguments: Sequence[str], material: str) -> Answer:
        """Return the answer, from the folder where it is there."""
        if self._folder is None:
            return command.ask(arguments)
        key = hashlib.sha256(json.dumps([material, *arguments]).encode()).hexdigest()
        path = self._folder / f"{key}.json"
        if not path.exists():
            answer = command.ask(arguments)
            path.write_text(json.dumps([answer.status, answer.out, answer.err]))
        return Answer(*json.loads(path.read_text()))


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted, by kind of item. `worded` are those of `refused` whose errors begin with the same line."""

    items: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    worded: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Yield one line a kind."""
        for kind in KINDS:
            yield (
                f"{self.items[kind]:5} {kind}s: {self.accepted[kind]} accepted by both, {self.refused[kind]} refused by"
                f" both ({self.worded[kind]} in the same words), {self.items[kind] - self.same[kind]} differ"
            )


def compare(material: Material, venv: Path, cache: Cache, work: Path, tally: Tally) -> None:
    """Give every item of a package to both commands and print what differs."""
    (work / "inventory.ini").write_text(material.inventory())
    settings = {**material.environment(), "ANSIBLE_LOCALHOST_WARNING": "0"}
    ours = {**settings, "PYBIBLE_ANSIBLE": str(venv)}
    python = str(venv / "bin" / "python")
    with (
        started(["ansible-playbook"], python, settings, work) as ansible,
        started(["pybible-ctl", "run"], sys.executable, ours, work) as pybible,
    ):
        for item in material.items:
            playbook = item.playbook(work)
            same = accepted = worded = True
            for mode in _MODES if item.kind == PLAYBOOK else ("--list-tasks",):
                name = playbook.name if playbook.is_relative_to(work) else str(playbook)
                arguments = ["-i", "inventory.ini", mode, name]
                expected = cache.ask(ansible, arguments, item.text + material.inventory())
                found = pybible.ask(arguments)
                accepted = accepted and expected.status == found.status == 0
                if not expected.same(found):
                    same = False
                    _show(item, mode, expected, found)
                elif worded and expected.status and expected.error != found.error:
                    worded = False
                    print(f"OTHER WORDS {item.kind} {item.path}\n    {expected.error}\n    {found.error}", flush=True)
            tally.items[item.kind] += 1
            tally.same[item.kind] += same
            tally.accepted[item.kind] += accepted
            tally.refused[item.kind] += same and not accepted
            tally.worded[item.kind] += same and not accepted and worded


def _show(item: Item, mode: str, expected: Answer, found: Answer) -> None:
    print(f"DIFFERS {item.kind} {item.path} {mode}")
    if expected.status != found.status:
        print(f"    ansible-playbook {expected.status}: {expected.error}\n    pybible {found.status}: {found.error}")
    else:
        lines = difflib.unified_diff(
            expected.listed.splitlines(), found.listed.splitlines(), "ansible-playbook", "pybible", lineterm="", n=0
        )
        print("\n".join(f"    {line}" for _number, line in zip(range(_SHOWN_LINES), lines, strict=False)))
    sys.stdout.flush()


def main(words: Sequence[str]) -> int:
    """Compare all packages."""
    parser = argparse.ArgumentParser(prog="real_material", description=__doc__)
    parser.add_argument("packages", nargs="*", type=Path, metavar="PACKAGE")
    parser.add_argument("--venv", required=True, type=Path, help="an environment with PyPI's ansible")
    parser.add_argument("--cache", type=Path, help="where ansible-playbook's answers are kept")
    parser.add_argument("--no-collections", action="store_true", help="leave the environment's collections out")
    given = parser.parse_args(words)
    venv = given.venv.absolute()
    roots = [] if given.no_collections else sorted(venv.glob("lib/python3*/site-packages/ansible_collections"))
    tally = Tally()
    cache = Cache(given.cache)
    with tempfile.TemporaryDirectory() as temporary:
        for number, root in enumerate([*roots, *(package.absolute() for package in given.packages)]):
            work = Path(temporary) / str(number)
            work.mkdir()
            material = read_material(root)
            print(f"{root}: {len(material.items)} files and roles", flush=True)
            compare(material, venv, cache, work, tally)
    print("\n".join(tally.lines()))
    return 1 if tally.same != tally.items else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
