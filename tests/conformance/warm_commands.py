"""warm_commands: ansible-playbook or pybible-ctl as a process that has it imported, and forks a child for each call."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_SERVER = Path(__file__).with_name("forked_commands.py")


def surroundings(home: Path) -> dict[str, str]:
    """Return the environment of a command that knows nothing of who starts it."""
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "USER", "LOGNAME", "TMPDIR"}}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class WarmCommand:
    """`ansible-playbook` or `pybible-ctl`, with the interpreter that has it, for as long as the block lasts."""

    def __init__(self, name: str, python: str, *, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._process = subprocess.Popen(
            [python, _SERVER, name],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()

    def call(
        self,
        arguments: Sequence[str],
        *,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        merged: bool = False,
    ) -> tuple[int, str, str]:
        """Run it once; return its exit status, standard output and standard error. merged: both are in the first."""
        request = [list(arguments), str(directory or self._directory), environment and dict(environment), merged]
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        status, out, err = json.loads(self._process.stdout.readline())
        return status, out, err
