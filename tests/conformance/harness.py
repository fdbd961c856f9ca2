"""harness: run one conformance case with a playbook command, and write down what an operator would see.

A case is a folder of playbooks/: `site.yml`, whatever it needs beside it, optionally an `inventory.ini` of its own, and
optionally `runs.txt`: the command line of each run, one a line (`site.yml` when there is none); `NAME=value` words at
its beginning are environment variables, `inventory` after them runs the command that lists inventories. All runs of a
case share one folder in which they leave files, `{{ target }}` in the playbooks. The transcript holds each run's screen
(standard output and error together, as a terminal shows them), its exit status and, at the end, every file left.

Only temporary paths, durations and process ids are normalised, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE / "playbooks"
RECORD = "ansible-core.txt"
SECONDS_A_RUN = 120

# With forks 1 results come in the order of the hosts: both sides print in the order in which results arrive.
DEFAULT_OPTIONS = ("--forks", "1")

_DURATIONS = [
    (re.compile(r'("delta": )"\d+:\d\d:\d\d\.\d+"'), r'\1"DELTA"'),
    (re.compile(r'("(?:start|end)": )"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+"'), r'\1"MOMENT"'),
    # The same in YAML.
    (re.compile(r"(\bdelta: )'\d+:\d\d:\d\d\.\d+'"), r"\1'DELTA'"),
    (re.compile(r"(\b(?:start|end): )'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+'"), r"\1'MOMENT'"),
    (re.compile(r"\bpid=\d+"), "pid=PID"),
    # The id of a background job: a random number, and the id of its process.
    (re.compile(r"\bj\d{3,12}\.\d+\b"), "JOB"),
]
_VARIABLE = re.compile(r"([A-Z_]+)=(.*)", re.DOTALL)
# The command beside the one that runs playbooks which lists inventories.
_LISTING = {
    "ansible-playbook": lambda command: [command[0].replace("ansible-playbook", "ansible-inventory")],
    "run": lambda command: [*command[:-1], "inventory"],
}
# The temporary files into which both render a template.
_RENDERED = re.compile(r"^(\+\+\+ after: )\S*/(?:ansible-local-\w+|pybible-\w+)/tmp\w+/([^/\n]+)$", re.MULTILINE)
_TEMPORARY_SOURCE = re.compile(r'("src": )"[^"]*/(?:ansible-tmp-|\.ansible|pybible)[^"]*/[^"/]*"')


@dataclass(frozen=True, slots=True)
class Case:
    """One folder of playbooks/."""

    name: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return CASES / self.name

    @property
    def runs(self) -> list[list[str]]:
        """The command line of each run."""
        listed = self.folder / "runs.txt"
        lines = listed.read_text().splitlines() if listed.exists() else ["site.yml"]
        return [shlex.split(line) for line in lines if line.strip() and not line.startswith("#")]

    @property
    def record(self) -> Path:
        """What ansible-core did."""
        return self.folder / RECORD


def all_cases() -> list[Case]:
    """Return every case, by name."""
    return [Case(path.name) for path in sorted(CASES.iterdir()) if (path / "site.yml").exists()]


# Runs a command line in a folder and an environment; returns its exit status and its two outputs as one.
Call = Callable[[Sequence[str], Path, Mapping[str, str]], tuple[int, str]]


def in_a_process(line: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command line as a process of its own."""
    done = subprocess.run(
        line,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS_A_RUN,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


def transcript(
    case: Case, command: Sequence[str], *, work: Path, environment: Mapping[str, str], call: Call = in_a_process
) -> str:
    """Run a case below `work` (an empty folder) with `command` (ansible-playbook, or pybible-ctl run)."""
    folder, out = work / "case", work / "out"
    shutil.copytree(case.folder, folder, ignore=shutil.ignore_patterns(RECORD, "runs.txt"))
    shutil.copytree(HERE / "shared", folder, dirs_exist_ok=True) if not (folder / "inventory.ini").exists() else None
    out.mkdir()
    parts = []
    for given in case.runs:
        variables, words = _environment_first(given)
        if words[0] == "inventory":
            line = [*_LISTING[Path(command[-1]).name](command), *words[1:]]
        else:
            line = [*command, "-i", "inventory.ini", *DEFAULT_OPTIONS, "-e", f"target={out}", *words]
        status, screen = call(line, folder, _environment({**environment, **variables}, home=work))
        screen = normalise(screen, work)
        parts.append(f"$ playbook {shlex.join(given)}\n{screen}[exit status {status}]\n")
    return "\n".join([*parts, *_files_left(out, work)])


def _environment_first(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Take the variables at the beginning of a command line off."""
    variables: dict[str, str] = {}
    for index, word in enumerate(words):
        found = _VARIABLE.match(word)
        if not found:
            return variables, words[index:]
        variables[found[1]] = found[2]
    return variables, []


def normalise(text: str, work: Path) -> str:
    """Replace temporary paths, durations and process ids, and nothing else."""
    text = text.replace(str(work), "WORK").replace(str(work).lstrip("/"), "WORK")
    for pattern, replacement in _DURATIONS:
        text = pattern.sub(replacement, text)
    text = _RENDERED.sub(r"\1TEMPORARY/\2", text)
    return _TEMPORARY_SOURCE.sub(r'\1"TEMPORARY"', text)


def _environment(extra: Mapping[str, str], *, home: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "USER", "LOGNAME", "TMPDIR"}}
    return {
        **kept,
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GREETING": "hello from the environment",
        **extra,
    }


def _files_left(out: Path, work: Path) -> list[str]:
    lines = ["files left:"]
    for path in sorted(out.rglob("*")):
        mode = stat.filemode(path.lstat().st_mode)
        name = normalise(str(path.relative_to(out)), work)
        if path.is_symlink():
            lines.append(f"  {mode} {name} -> {normalise(str(path.readlink()), work)}")
        elif path.is_dir():
            lines.append(f"  {mode} {name}/")
        else:
            content = normalise(path.read_text(errors="replace"), work)
            digest = hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:12]
            first = content.splitlines()[0] if content.strip() else ""
            lines.append(f"  {mode} {name} {len(content)} {digest} {first}".rstrip())
    return [*lines, ""]
