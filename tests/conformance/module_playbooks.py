"""module_playbooks: module cases whose module has a part on the control node, as playbooks of one task.

The task runs on the control node itself, in ansible-playbook and in pybible-ctl, and writes down what it registered.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.conformance.module_cases import ENVIRONMENT, Case
from tests.conformance.warm_commands import WarmCommand


class Playbooks:
    """A playbook command, `ansible-playbook` or `pybible-ctl`, that runs tasks for as long as the block lasts."""

    def __init__(self, command: str, python: str, place: Path) -> None:
        self._place = place
        self._before = ["run"] if command == "pybible-ctl" else []
        home = place / "home"
        home.mkdir(parents=True)
        around = os.environ | ENVIRONMENT | {"HOME": str(home), "ANSIBLE_LOCALHOST_WARNING": "false"}
        self._warm = WarmCommand(command, python, directory=place, environment=around)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._warm.__exit__(kind, error, trace)

    def call(self, case: Case, arguments: dict[str, Any], check: bool) -> dict[str, Any]:
        """Return what the task of a case registered."""
        outcome = self._place / "outcome.json"
        outcome.unlink(missing_ok=True)
        task = {
            case.qualified if case.collection else f"ansible.builtin.{case.module}": arguments,
            "check_mode": check,
            "diff": case.diff,
            "register": "outcome",
            "ignore_errors": True,
        }
        written = {"ansible.builtin.copy": {"content": "{{ outcome | to_json }}", "dest": str(outcome)}}
        play = {"hosts": "localhost", "gather_facts": False, "vars": {"place": "here"}, "tasks": [task, written]}
        playbook = self._place / "site.yml"
        playbook.write_text(json.dumps([play]), encoding="utf-8")
        options = ["-i", "localhost,", "-c", "local", "-e", "ansible_python_interpreter=/usr/bin/python3"]
        status, *_ = self._warm.call([*self._before, *options, str(playbook)])
        if not outcome.exists():
            # The task was refused before it ran.
            return {"failed": True, "refused": status}
        found: dict[str, Any] = json.loads(outcome.read_text(encoding="utf-8"))
        # An action that skips says so in ansible-core without saying that it did not fail.
        return {"failed": False, **found}
