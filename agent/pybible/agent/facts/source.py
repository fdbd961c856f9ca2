"""source: where facts are read from: the host's files under one root, so that tests can show another host."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pybible.wire.values import JsonObject

_ROOT = Path("/")
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The host as its collectors see it. `timeout`: seconds that one slow source may take."""

    root: Path = _ROOT
    environment: Mapping[str, str]
    timeout: float = 10.0
    fact_path: str = "/etc/ansible/facts.d"

    def path(self, name: str) -> Path:
        """Return the real place of an absolute path of the host."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str:
        """Return a file's text without its last newline, empty when it can't be read."""
        # Plain names and calls instead of Path and file objects: it is called some 200 times for one set of facts.
        try:
            handle = os.open(self._place(name), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        parts = []
        try:
            while part := os.read(handle, _READ_BYTES):
                parts.append(part)
        except OSError:
            return ""
        finally:
            os.close(handle)
        text = b"".join(parts).decode("utf-8", "replace")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text.rstrip("\n")

    def lines(self, name: str) -> list[str]:
        """Return a file's lines, none when it can't be read."""
        return self.text(name).splitlines()

    def exists(self, name: str) -> bool:
        """Return whether there is such a path."""
        return os.path.exists(self._place(name))  # noqa: PTH110

    def names(self, name: str) -> list[str]:
        """Return the sorted names in a folder, none when there is no such folder."""
        try:
            return sorted(os.listdir(self._place(name)))  # noqa: PTH208
        except OSError:
            return []

    def program(self, name: str) -> str | None:
        """Return the path of a program, None when the host has none of that name."""
        return shutil.which(name, path=self.environment.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")

    def run(self, *command: str) -> str:
        """Return what a program writes, empty when it fails or takes too long."""
        return self.answer(*command) or ""

    def answer(self, *command: str) -> str | None:
        """Return what a program writes, None when it fails, takes too long or is not there."""
        program = self.program(command[0])
        if program is None:
            return None
        try:
            done = subprocess.run(
                [program, *command[1:]],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self.timeout,
                env={**self.environment, "LC_ALL": "C", "LANG": "C"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    def _place(self, name: str) -> str:
        return name if self.root is _ROOT or self.root == _ROOT else f"{self.root}/{name.lstrip('/')}"


def whole(text: str, *, base: int = 10) -> int | None:
    """Return the whole number that a text of the kernel's is, None when it is none."""
    try:
        return int(text, base)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A group of facts. `subsets` are the names under which a task may ask for it, `needs` other collectors' names."""

    name: str
    collect: Callable[[Host], JsonObject]
    subsets: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    minimal: bool = False
