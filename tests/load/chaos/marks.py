"""marks: what was executed, and from when to when, as those who did it wrote it down: read while they write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


class Marks:
    """The marks in some files. Lines are ID b|e TIME HOST, and DEED d TIME HOST for what else a swarm did."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.begun: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.deeds: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._read = dict.fromkeys(paths, 0)

    def follow(self) -> None:
        """Read what is new."""
        for path, at in self._read.items():
            if not path.exists():
                continue
            with path.open("rb") as file:
                file.seek(at)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._read[path] = at + len(whole) + len(newline)
            for line in whole.decode().splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        name, kind, moment, *rest = line.split()
        if kind == "b":
            if name in self.begun:
                self.wrong.append(f"{name} was executed twice, the second time on {rest} at {moment}")
            self.begun.setdefault(name, float(moment))
        elif kind == "e":
            self.ended.setdefault(name, float(moment))
        else:
            self.deeds[name] += 1
