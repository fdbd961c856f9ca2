"""dnf_output: what dnf's words mean: the table of what it is about to do, and why it can't."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SECTION = re.compile(r"^([A-Z][A-Za-z/ ]+):\s*$")
_END = re.compile(r"^(?:Transaction Summary|Total |Is this ok|Operation aborted|Complete!|Downloading|Running)")
_UNKNOWN = re.compile(r"^(?:Error: )?(?:No match for argument|Unable to find a match|No package matches): (.+)$", re.M)
_EXCLUDED = re.compile(r"^All matches were filtered out by exclude filtering for argument: (.+)$", re.MULTILINE)
_GROUP = re.compile(r"(?:Module or Group '([^']+)' is not available|No match for argument: @(\S+))")
_HINT = re.compile(r"\n?(?:\(try to add .*\)|You can try to add to command line:.*)\s*$", re.DOTALL)
_LOCKED = re.compile(r"(?:already locked by|process with pid) (\d+)")
_UNSIGNED = re.compile(r"^Package (\S+)\.rpm is not signed", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One package of the table: name, architecture, [epoch:]version-release. action: install, replace or remove."""

    action: str
    name: str
    arch: str
    version: str

    @property
    def nevra(self) -> str:
        """Return the package's whole name; an epoch of 0 is none."""
        return f"{self.name}-{self.version.removeprefix('0:')}.{self.arch}"


def parse_table(output: str) -> list[Row]:
    """Return what dnf is about to do. A name that is too long for its column has the rest of its row below it."""
    rows: list[Row] = []
    action = ""
    words: list[str] = []
    for line in [*output.split("\n"), "Complete!"]:
        heading = _SECTION.match(line)
        ended = heading is not None or _END.match(line) is not None
        # A row begins with one space; what is deeper goes on with it.
        begins = re.match(r"^ \S", line) is not None
        if ended or begins:
            rows += _row(action, words)
            words = []
        if ended:
            action = "" if heading is None else _action(heading[1])
        elif (begins or words) and not line.lstrip().startswith(("replacing ", "Package ")):
            words += line.split()
    return rows


def _action(heading: str) -> str:
    if heading.endswith((" Groups", " groups", " streams", " profiles")):
        return ""
    first = heading.split()[0]
    if first in ("Upgrading", "Downgrading", "Reinstalling"):
        return "downgrade" if first == "Downgrading" else "replace"
    return {"Installing": "install", "Removing": "remove"}.get(first, "")


def _row(action: str, words: list[str]) -> list[Row]:
    if not action or len(words) < 4:
        return []
    return [Row(action=action, name=words[0], arch=words[1], version=words[2])]


def unknown(stderr: str) -> list[str]:
    """Return the packages that dnf has never heard of, as failures name them."""
    excluded = [found[1] for found in _EXCLUDED.finditer(stderr)]
    names: dict[str, None] = {}
    for found in _UNKNOWN.finditer(stderr):
        # dnf sums up what it has named before: the parts of a specifier with spaces stay together.
        names.update(dict.fromkeys([found[1]] if "match for argument" in found[0] else []))
    if not names:
        for found in _UNKNOWN.finditer(stderr):
            names.update(dict.fromkeys([found[1]] if re.search(" [<>=]", found[1]) else found[1].split()))
    failures = [f"{name} All matches were filtered out by exclude filtering for argument: {name}" for name in excluded]
    return failures + [f"No package {name} available." for name in names if name not in excluded]


def no_group(stderr: str) -> str | None:
    """Return the group or module that dnf does not have."""
    found = _GROUP.search(stderr)
    return None if found is None else found[1] or found[2]


def problem(stderr: str) -> str | None:
    """Return why packages can't be together, in dnf's words without its advice."""
    for begin in ("Error: \n", "Error:\n", "Failed to resolve the transaction:\n"):
        start = stderr.find(begin)
        if start >= 0:
            return _HINT.sub("", stderr[start + len(begin) :].rstrip("\n"))
    return None


def holder(text: str) -> str | None:
    """Return the process that has dnf's lock, None when the failure is another."""
    found = _LOCKED.search(text)
    return found[1] if found else None


def unsigned(text: str) -> str | None:
    """Return the package whose signature is missing."""
    found = _UNSIGNED.search(text)
    return None if found is None else found[1]
